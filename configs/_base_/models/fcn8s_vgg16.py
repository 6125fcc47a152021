# FCN-8s on VGG16, all pools kept (Long et al., CVPR 2015): the network of LSE.
_base_ = './deeplabv2_r101.py'
segmentor = dict(
    backbone=dict(_delete_=True, type='FCNVGG16', weights='torchvision://vgg16'),
    decode_head=dict(_delete_=True, type='FCN8sHead', in_channels=(256, 512, 4096), num_classes='{cfg:num_classes}',
                     align_corners=False))
