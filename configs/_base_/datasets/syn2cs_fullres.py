# SPDX-License-Identifier: Apache-2.0
"""SYNTHIA-RAND-CITYSCAPES to Cityscapes, 16 classes (13 in the second metric), at full resolution with random scale and crops.

For CBST and CRST. Roots as in `syn2cs.py`: data/synthia and data/cityscapes, or set UDATOOLS_SYNTHIA and UDATOOLS_CITYSCAPES.
"""
_base_ = './cityscapes_target_fullres.py'
source_root = '{{$UDATOOLS_SYNTHIA:data/synthia}}'
classes = 'synthia16'
num_classes = 16

source_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='RandomResize', scale=(1280, 760), ratio_range=(0.5, 1.5), keep_ratio=True, resize_type='SparseSafeResize'),
    dict(type='RareClassCrop', crop_size='{cfg:crop_size}', coverage='{cfg:mining_coverage}', share=1e-3, prob=0.8),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
]
source_train = dict(
    type='SYNTHIADomain', data_root=source_root, split='train', classes='{cfg:classes}', pipeline=source_pipeline)
train_dataloader = dict(dataset=dict(source=source_train))

val_evaluator = [
    dict(type='ProtocolIoUMetric', protocol='synthia16'),
    dict(type='ProtocolIoUMetric', protocol='synthia13', prefix='synthia13'),
]
test_evaluator = val_evaluator
