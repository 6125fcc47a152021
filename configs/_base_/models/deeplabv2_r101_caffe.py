# The network as the AdaptSegNet line has it, weights converted from Caffe: BGR less a mean, ceil pooling, stride in the first
# 1x1 convolution of a bottleneck. tools/model_converters/deeplabv2.py makes the file of weights from the authors' initial one
# (--backbone-only), and converts their trained checkpoints.
_base_ = './deeplabv2_r101.py'
data_preprocessor = dict(
    mean=[104.00698793, 116.66876762, 122.67891434], std=[1.0, 1.0, 1.0], bgr_to_rgb=False)
segmentor = dict(backbone=dict(style='caffe', caffe_pooling=True, weights='data/caffe_resnet101/model.pth'))
