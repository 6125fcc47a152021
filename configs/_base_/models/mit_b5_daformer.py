# Mix transformer MiT-B5 and DAFormer's head (Hoyer et al., CVPR 2022). decode_head.type='SegformerHead' (without embed_dims) is
# the plain mmseg one, whose checkpoints need no udatools.
data_preprocessor = dict(
    type='UDADataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
    pad_val=0, seg_pad_val=255, size_divisor=1)
segmentor = dict(
    type='EncoderDecoder',
    backbone=dict(type='UDAMixVisionTransformer', weights='mmseg://mit_b5', embed_dims=64, num_layers=(3, 6, 40, 3),
                  num_heads=(1, 2, 5, 8), drop_path_rate=0.1),
    decode_head=dict(type='DAFormerHead', in_channels=(64, 128, 320, 512), num_classes='{cfg:num_classes}', embed_dims=256,
                     channels=256, dropout_ratio=0.1, align_corners=False),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
discriminator = dict(type='ImageDiscriminator', in_channels='{cfg:num_classes}')
running_statistics = 'both'  # of batch norm, which is in the head alone, see UDASegmentor
