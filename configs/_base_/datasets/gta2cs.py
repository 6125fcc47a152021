# SPDX-License-Identifier: Apache-2.0
"""GTA5 to Cityscapes, 19 classes: source at 1280x720, target at 1024x512, scored at the native 2048x1024.

Sizes and batch as in AdaptSegNet and its successors. Roots: data/gta5 and data/cityscapes, or set UDATOOLS_GTA5 and
UDATOOLS_CITYSCAPES.
"""
_base_ = './cityscapes_target.py'
source_root = '{{$UDATOOLS_GTA5:data/gta5}}'
classes = 'cityscapes19'
num_classes = 19

source_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel', size_mismatch='resize'),  # a few pairs of GTA5 differ in size: warn and train on them
    dict(type='SparseSafeResize', scale=(1280, 720)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
]
source_train = dict(
    type='GTA5Domain', data_root=source_root, split='train', classes='{cfg:classes}', pipeline=source_pipeline)
train_dataloader = dict(dataset=dict(source=source_train))

val_evaluator = dict(type='ProtocolIoUMetric', protocol='cityscapes19')
test_evaluator = val_evaluator
