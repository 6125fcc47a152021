# SPDX-License-Identifier: Apache-2.0
"""SYNTHIA-RAND-CITYSCAPES to CamVid, 11 classes: source at 640x380 (half), target at its native 480x360.

What SYNTHIA's classes become is in `udatools/datasets/taxonomies/synthia.json`; all 11 classes are shared. Roots: data/synthia
(the folder RAND_CITYSCAPES), or set UDATOOLS_SYNTHIA; CamVid as for `carla2camvid.py`: the folder camvid/ in data/real, or in
UDATOOLS_REAL_DATA.
"""
source_root = '{{$UDATOOLS_SYNTHIA:data/synthia}}'
target_root = '{{$UDATOOLS_REAL_DATA:data/real}}' + '/camvid'
classes = 'camvid11'
num_classes = 11
crop_size = (360, 480)  # height, width of a target training image: the native size

meta_keys = ('img_path', 'key', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip', 'flip_direction')
source_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='SparseSafeResize', scale=(640, 380)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
target_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
eval_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
inference_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
# Stock transforms only, for mmseg.apis.inference_model on an exported checkpoint.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]

source_train = dict(
    type='SYNTHIADomain', data_root=source_root, split='train', classes=classes, pipeline=source_pipeline)
_camvid = dict(type='CamVidDomain', data_root=target_root, classes=classes)
target_train = dict(_camvid, split='train', labelled=False, pipeline=target_pipeline)
# Ground truth: supervised baselines and the oracle only.
target_train_labelled = dict(_camvid, split='train', labelled=True, pipeline=target_pipeline)
# The target training images for inference: no labels, no augmentation.
target_images = dict(_camvid, split='train', labelled=False, pipeline=inference_pipeline)
target_val = dict(_camvid, split='val', test_mode=True, pipeline=eval_pipeline)

train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='CounterSampler'),
    dataset=dict(type='UDADataset', source=source_train, target=target_train))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=target_val)
test_dataloader = val_dataloader

val_evaluator = dict(type='ProtocolIoUMetric', protocol='camvid11')
test_evaluator = val_evaluator
