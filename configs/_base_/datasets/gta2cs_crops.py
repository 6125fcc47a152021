# SPDX-License-Identifier: Apache-2.0
"""As gta2cs.py, the source in random crops of the size of a target image, 1024x512 (FDA and other BDL descendants)."""
_base_ = './gta2cs.py'
train_dataloader = dict(dataset=dict(source=dict(pipeline=[
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel', size_mismatch='resize'),
    dict(type='SparseSafeResize', scale=(1280, 720)),
    dict(type='RandomCrop', crop_size='{cfg:crop_size}'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
])))
