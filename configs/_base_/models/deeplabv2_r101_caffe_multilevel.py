# The same with a second head on layer3.
_base_ = './deeplabv2_r101_caffe.py'
segmentor = dict(auxiliary_head=dict(
    type='DeepLabV2Head', in_channels=1024, in_index=2, num_classes='{cfg:num_classes}', align_corners=True))
