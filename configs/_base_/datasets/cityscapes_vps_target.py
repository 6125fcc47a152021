# SPDX-License-Identifier: Apache-2.0
"""Cityscapes-VPS as the target: everything of a video source-to-Cityscapes-VPS pair but the source and the classes.

Clips of two consecutive frames, in the sizes and with the evaluation of cityscapes_target.py; of validation clips the labelled
frames are scored. A file of a pair (`viper2csvps.py`, `synthiaseq2csvps.py`) inherits this one and adds `classes`, `num_classes`,
`source_root`, `source_pipeline`, `source_train`, `source_flow`, the source of `train_dataloader` and the evaluators. Root:
data/cityscapes_vps, or set UDATOOLS_CITYSCAPES_VPS; precomputed flow, for methods that read it, is in data/flow or UDATOOLS_FLOW.
"""
_base_ = './cityscapes_target.py'
target_root = '{{$UDATOOLS_CITYSCAPES_VPS:data/cityscapes_vps}}'
flow_root = '{{$UDATOOLS_FLOW:data/flow}}'
frame_offsets = (0, -1)  # key frame and the one before

# What a method that reads flow sets as `flow` of the training set; written by tools/compute_flow.py.
target_flow = dict(root=flow_root + '/cityscapes_vps/train')

meta_keys = ('img_path', 'key', 'clip', 'frame', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip', 'flip_direction')
target_pipeline = [
    dict(type='LoadClip'),
    dict(type='ClipResize', scale=(1024, 512)),
    dict(type='ClipRandomFlip', prob=0.5),
    dict(type='PackClipInputs', meta_keys='{cfg:meta_keys}'),
]
_cityscapes = dict(type='CityscapesVPSDomain', data_root=target_root, classes='{cfg:classes}')
target_train = dict(
    _delete_=True, type='ClipDataset', dataset=dict(_cityscapes, split='train', labelled=False),
    frame_offsets='{cfg:frame_offsets}', pipeline=target_pipeline)
# Ground truth: supervised baselines and the oracle only. Every fifth frame has it, so clips are of one frame.
target_train_labelled = dict(
    _delete_=True, type='ClipDataset', dataset=dict(_cityscapes, split='train', labelled=True), frame_offsets=(0, ),
    pipeline=target_pipeline)
# All target training frames for inference, in the order of time: no labels, no augmentation.
target_images = _cityscapes
target_val = _cityscapes

train_dataloader = dict(dataset=dict(target=target_train))
val_dataloader = dict(dataset=target_val)
test_dataloader = val_dataloader
