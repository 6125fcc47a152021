# The same with a second head on layer3.
_base_ = './deeplabv2_tiny.py'
segmentor = dict(auxiliary_head=dict(
    type='DeepLabV2Head', in_channels=64, in_index=2, num_classes='{cfg:num_classes}', dilations=(2, 4, 8, 12),
    align_corners=False))
