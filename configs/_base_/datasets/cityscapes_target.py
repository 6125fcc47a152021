# SPDX-License-Identifier: Apache-2.0
"""Cityscapes as the target: everything of a source-to-Cityscapes pair but the source and the classes.

Training images at 1024x512, scored at the native 2048x1024. A file of a pair (`gta2cs.py`, `syn2cs.py`) inherits this one and
adds `classes`, `num_classes`, `source_root`, `source_pipeline`, `source_train`, the source of `train_dataloader` and the
evaluators. Root: data/cityscapes, or set UDATOOLS_CITYSCAPES.
"""
target_root = '{{$UDATOOLS_CITYSCAPES:data/cityscapes}}'
crop_size = (512, 1024)  # height, width of a target training image

meta_keys = ('img_path', 'key', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip', 'flip_direction')
target_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='SparseSafeResize', scale=(1024, 512)),  # keeps single labelled points
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
]
eval_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='Resize', scale=(1024, 512)),
    dict(type='LoadDomainLabel'),  # after the resizing: scored at native resolution
    dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
]
inference_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='Resize', scale=(1024, 512)),
    dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
]
# Stock transforms only, for mmseg.apis.inference_model on an exported checkpoint.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1024, 512)),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]

_cityscapes = dict(type='CityscapesDomain', data_root=target_root, classes='{cfg:classes}')
target_train = dict(_cityscapes, split='train', labelled=False, pipeline=target_pipeline)
# Ground truth: supervised baselines and the oracle only.
target_train_labelled = dict(_cityscapes, split='train', labelled=True, pipeline=target_pipeline)
# The target training images for inference: no labels, no augmentation.
target_images = dict(_cityscapes, split='train', labelled=False, pipeline=inference_pipeline)
target_val = dict(_cityscapes, split='val', test_mode=True, pipeline=eval_pipeline)

train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='CounterSampler'),
    dataset=dict(type='UDADataset', target=target_train))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=target_val)
test_dataloader = val_dataloader
