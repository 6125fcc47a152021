# DeepLabv2 on VGG16 (fc6, fc7 as dilated convolutions).
_base_ = './deeplabv2_r101.py'
segmentor = dict(
    backbone=dict(_delete_=True, type='DilatedVGG16', weights='torchvision://vgg16'),
    decode_head=dict(in_channels=1024, in_index=1))
