# DeepLabv2 on VGG16 with weights converted from Caffe: BGR less a mean.
_base_ = './deeplabv2_vgg16.py'
data_preprocessor = dict(
    mean=[104.00698793, 116.66876762, 122.67891434], std=[1.0, 1.0, 1.0], bgr_to_rgb=False)
segmentor = dict(backbone=dict(weights='data/caffe_vgg16.pth'))
