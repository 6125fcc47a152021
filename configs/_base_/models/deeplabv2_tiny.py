# A narrow ResNet-18 at stride 8 for MiniDrive and small real images: trains from scratch on two CPU cores.
_base_ = './deeplabv2_r101.py'
segmentor = dict(
    backbone=dict(
        _delete_=True, type='UDAResNet', depth=18, base_channels=16, stem_channels=16, weights='scratch', bn_mode='adapt',
        strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
    decode_head=dict(in_channels=128, in_index=3, dilations=(2, 4, 8, 12), align_corners=False))
discriminator = dict(channels=(16, 32, 64, 128))
running_statistics = 'target'
