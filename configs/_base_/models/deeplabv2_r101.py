# DeepLabv2 on ResNet-101, stride 8: the network of the AdaptSegNet line (facts: affine terms of batch norm frozen).
data_preprocessor = dict(
    type='UDADataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
    pad_val=0, seg_pad_val=255, size_divisor=1)
segmentor = dict(
    type='EncoderDecoder',
    backbone=dict(type='UDAResNet', depth=101, weights='torchvision://resnet101', bn_mode='affine'),
    decode_head=dict(type='DeepLabV2Head', in_channels=2048, in_index=3, num_classes='{cfg:num_classes}', align_corners=True),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
discriminator = dict(type='ImageDiscriminator', in_channels='{cfg:num_classes}')
running_statistics = 'both'  # of batch norm, see UDASegmentor
