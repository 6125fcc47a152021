# DAFormer (Hoyer et al., CVPR 2022): DACS, source images drawn by rare classes, features of things held near those of ImageNet.
_base_ = './dacs.py'
_features = dict(type='FeatureDistance', name='features', backbone='{cfg:segmentor.backbone}', classes='{cfg:classes}')
_from_scratch = _base_.dacs.objectives  # what dacs.objectives is to be for a network without pretrained weights
dacs = dict(teacher=dict(momentum=0.999), ignore_rows=(15, 120), objectives=[*_base_.dacs.objectives, _features])
rare_classes = dict(statistics='{cfg:class_statistics}', temperature=0.01, min_pixels=3000, min_crop_pixels=1500)
stages = [dict(name='train', config={'train_dataloader.dataset.rare_classes': '{cfg:rare_classes}'})]
