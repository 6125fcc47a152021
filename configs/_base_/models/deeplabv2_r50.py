# DeepLabv2 on ResNet-50, stride 8: the network of the video adaptation paper.
_base_ = './deeplabv2_r101.py'
segmentor = dict(backbone=dict(depth=50, weights='torchvision://resnet50'))
