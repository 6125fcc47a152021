# MaxSquare with image-wise class weights.
_base_ = './maxsquare.py'
max_squares = dict(image_wise=True)
