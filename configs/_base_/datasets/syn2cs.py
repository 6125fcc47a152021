# SPDX-License-Identifier: Apache-2.0
"""SYNTHIA-RAND-CITYSCAPES to Cityscapes, 16 classes (13 in the second metric), scored at the native 2048x1024.

Source at 1280x760, target at 1024x512. Roots: data/synthia (the folder RAND_CITYSCAPES) and data/cityscapes, or set
UDATOOLS_SYNTHIA and UDATOOLS_CITYSCAPES. For the 13-class network set classes to synthia13, num_classes to 13 and the
evaluators to the one of that protocol.
"""
_base_ = './cityscapes_target.py'
source_root = '{{$UDATOOLS_SYNTHIA:data/synthia}}'
classes = 'synthia16'
num_classes = 16

source_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='SparseSafeResize', scale=(1280, 760)),
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
