# SPDX-License-Identifier: Apache-2.0
"""GTA5 to Cityscapes, 19 classes, at full resolution with random scale and crops (CBST, CRST).

Roots as in `gta2cs.py`: data/gta5 and data/cityscapes, or set UDATOOLS_GTA5 and UDATOOLS_CITYSCAPES.
"""
_base_ = './cityscapes_target_fullres.py'
source_root = '{{$UDATOOLS_GTA5:data/gta5}}'
classes = 'cityscapes19'
num_classes = 19

source_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel', size_mismatch='resize'),  # a few pairs of GTA5 differ in size: warn and train on them
    dict(type='RandomResize', scale=(1914, 1052), ratio_range=(0.5, 1.5), keep_ratio=True, resize_type='SparseSafeResize'),
    dict(type='RareClassCrop', crop_size='{cfg:crop_size}', coverage='{cfg:mining_coverage}', share=1e-3, prob=0.8),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
]
source_train = dict(
    type='GTA5Domain', data_root=source_root, split='train', classes='{cfg:classes}', pipeline=source_pipeline)
train_dataloader = dict(dataset=dict(source=source_train))

val_evaluator = dict(type='ProtocolIoUMetric', protocol='cityscapes19')
test_evaluator = val_evaluator
