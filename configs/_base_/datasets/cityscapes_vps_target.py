# SPDX-License-Identifier: Apache-2.0
"""Cityscapes-VPS as the target: everything of a video source-to-Cityscapes-VPS pair but the source and the classes.

Clips of two consecutive frames. Training frames at 1024x512, the labelled frames of the validation clips scored at the native
2048x1024. A file of a pair (`viper2csvps.py`, `synthiaseq2csvps.py`) inherits this one and adds `classes`, `num_classes`,
`source_root`, `source_pipeline`, `source_train`, `source_flow`, the source of `train_dataloader` and the evaluators. Root:
data/cityscapes_vps, or set UDATOOLS_CITYSCAPES_VPS; precomputed flow, for methods that read it, is in data/flow or
UDATOOLS_FLOW.
"""
target_root = '{{$UDATOOLS_CITYSCAPES_VPS:data/cityscapes_vps}}'
flow_root = '{{$UDATOOLS_FLOW:data/flow}}'
crop_size = (512, 1024)  # height, width of a target training image
frame_offsets = (0, -1)  # key frame and the one before

# What a method that reads flow sets as `flow` of the training set; written by tools/compute_flow.py.
target_flow = dict(root=flow_root + '/cityscapes_vps/train')

meta_keys = ('img_path', 'key', 'clip', 'frame', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip', 'flip_direction')
target_pipeline = [
    dict(type='LoadClip'),
    dict(type='ClipResize', scale=(1024, 512)),
    dict(type='ClipRandomFlip', prob=0.5),
    dict(type='PackClipInputs', meta_keys=meta_keys),
]
eval_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='Resize', scale=(1024, 512)),
    dict(type='LoadDomainLabel'),  # after the resizing: scored at native resolution
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
inference_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='Resize', scale=(1024, 512)),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
# Stock transforms only, for mmseg.apis.inference_model on an exported checkpoint.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1024, 512)),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]

_cityscapes = dict(type='CityscapesVPSDomain', data_root=target_root, classes='{cfg:classes}')
target_train = dict(
    type='ClipDataset', dataset=dict(_cityscapes, split='train', labelled=False), frame_offsets='{cfg:frame_offsets}',
    pipeline=target_pipeline)
# Ground truth: supervised baselines and the oracle only. Every fifth frame has it, so clips are of one frame.
target_train_labelled = dict(
    type='ClipDataset', dataset=dict(_cityscapes, split='train', labelled=True), frame_offsets=(0, ), pipeline=target_pipeline)
# All target training frames for inference, in the order of time: no labels, no augmentation.
target_images = dict(_cityscapes, split='train', labelled=False, pipeline=inference_pipeline)
target_val = dict(_cityscapes, split='val', test_mode=True, pipeline=eval_pipeline)

train_dataloader = dict(
    batch_size=1,  # clips of each domain
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
