# SPDX-License-Identifier: Apache-2.0
"""Cityscapes as the target at its own 2048x1024: random scale 0.5 to 1.5, crops of 1024x512 (CBST, CRST).

Crops look for classes that the round's pseudo-labels hardly have once a stage sets `mining_coverage`. Everything else as
`cityscapes_target.py`.
"""
_base_ = './cityscapes_target.py'
mining_coverage = None  # coverage.json of the round's pseudo-labels

target_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 1.5), keep_ratio=True, resize_type='SparseSafeResize'),
    dict(type='RareClassCrop', crop_size='{cfg:crop_size}', coverage='{cfg:mining_coverage}', share=1e-3, prob=0.8),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
]
eval_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
]
inference_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]

target_train = dict(pipeline=target_pipeline)
target_train_labelled = dict(pipeline=target_pipeline)
target_images = dict(pipeline=inference_pipeline)
target_val = dict(pipeline=eval_pipeline)
train_dataloader = dict(dataset=dict(target=target_train))
val_dataloader = dict(dataset=target_val)
test_dataloader = val_dataloader
