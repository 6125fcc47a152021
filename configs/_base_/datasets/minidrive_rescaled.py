# SPDX-License-Identifier: Apache-2.0
"""MiniDrive with random scale 0.5 to 1.5 and crops of the native size, as CBST and CRST train.

Crops look for classes that the round's pseudo-labels hardly have once a stage sets `mining_coverage`. Everything else as
`minidrive.py`.
"""
_base_ = './minidrive.py'
mining_coverage = None  # coverage.json of the round's pseudo-labels

train_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='RandomResize', scale=(256, 128), ratio_range=(0.5, 1.5), keep_ratio=True, resize_type='SparseSafeResize'),
    dict(type='RareClassCrop', crop_size='{cfg:crop_size}', coverage='{cfg:mining_coverage}', share=1e-3, prob=0.8),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion', brightness_delta=16, contrast_range=(0.8, 1.2), saturation_range=(0.8, 1.2),
         hue_delta=6),
    dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
]
source_train = dict(pipeline=train_pipeline)
target_train = dict(pipeline=train_pipeline)
target_train_labelled = dict(pipeline=train_pipeline)
train_dataloader = dict(dataset=dict(source=source_train, target=target_train))
