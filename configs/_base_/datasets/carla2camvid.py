# SPDX-License-Identifier: Apache-2.0
"""CARLA to real CamVid streets, 11 classes: trained at 240x180, scored at the native 480x360.

Set UDATOOLS_REAL_DATA to the folder that holds carla/ and camvid/, or link it as data/real. CARLA has no bicyclist, so
10 of the 11 classes are shared; the mean is over all 11 that occur.
"""
data_root = '{{$UDATOOLS_REAL_DATA:data/real}}'
classes = 'camvid11'
num_classes = 11
crop_size = (180, 240)  # height, width of a training image
# Of the cross-entropy on CARLA: share of the pixels to the power of -0.6, at most 20 times the least, 1 on average.
class_weight = [0.72, 1.5, 10.45, 0.58, 4.48, 1.54, 11.6, 4.59, 7.98, 11.6, 11.6]

meta_keys = ('img_path', 'key', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip', 'flip_direction')
# The camera of CARLA has a wide view: each image is seen through a longer lens, drawn anew, that keeps the horizon at its height.
source_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='RandomResize', scale=(240, 180), ratio_range=(1.0, 4.0), resize_type='SparseSafeResize', keep_ratio=True),
    dict(type='CenterCrop', crop_size=(10000, 180)),  # width, height: cuts above and below only
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion', brightness_delta=32, contrast_range=(0.5, 1.5), saturation_range=(0.0, 1.6), hue_delta=40),
    dict(type='RandomChoice', transforms=[[dict(type='AdjustGamma', gamma=gamma)] for gamma in (0.5, 0.7, 1.0, 1.5, 2.2)]),
    dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
]
train_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='SparseSafeResize', scale=(240, 180)),  # keeps single labelled points
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
]
eval_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='Resize', scale=(240, 180)),
    dict(type='LoadDomainLabel'),  # after the resizing: scored at native resolution
    dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
]
inference_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='Resize', scale=(240, 180)),
    dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
]
# Stock transforms only, for mmseg.apis.inference_model on an exported checkpoint.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(240, 180)),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]

source_train = dict(
    type='CARLADomain', data_root=data_root + '/carla', split='train', classes=classes, pipeline=source_pipeline)
target_train = dict(
    type='CamVidDomain', data_root=data_root + '/camvid', split='train', classes=classes, labelled=False,
    pipeline=train_pipeline)
target_train_labelled = dict(  # ground truth: supervised baselines and the oracle only
    type='CamVidDomain', data_root=data_root + '/camvid', split='train', classes=classes, labelled=True,
    pipeline=train_pipeline)
target_images = dict(  # the target training images for inference: no labels, no augmentation
    type='CamVidDomain', data_root=data_root + '/camvid', split='train', classes=classes, labelled=False,
    pipeline=inference_pipeline)
target_val = dict(
    type='CamVidDomain', data_root=data_root + '/camvid', split='val', classes=classes, test_mode=True,
    pipeline=eval_pipeline)

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='CounterSampler'),
    dataset=dict(type='UDADataset', source=source_train, target=target_train))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=target_val)
test_dataloader = val_dataloader

val_evaluator = dict(type='ProtocolIoUMetric', protocol='camvid11')
test_evaluator = val_evaluator
