# The same, narrow and shallow, for MiniDrive and small real images: trains from scratch on two CPU cores.
_base_ = './mit_b5_daformer.py'
segmentor = dict(
    backbone=dict(weights='scratch', embed_dims=16, num_layers=(2, 2, 2, 2)),
    decode_head=dict(in_channels=(16, 32, 80, 128), embed_dims=32, channels=32, dilations=(1, 2, 4, 6)))
discriminator = dict(channels=(16, 32, 64, 128))
running_statistics = 'target'
