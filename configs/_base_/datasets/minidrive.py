# SPDX-License-Identifier: Apache-2.0
"""MiniDrive, the embedded data: "sim" in the layout of GTA5 to "real" in the layout of Cityscapes, 256x128, 19 classes.

Set UDATOOLS_MINIDRIVE to the generated folder, or generate it into data/minidrive.
"""
data_root = '{{$UDATOOLS_MINIDRIVE:data/minidrive}}'
classes = 'cityscapes19'
num_classes = 19
crop_size = (128, 256)  # height, width of a training image: the native size, nothing is cropped or resized

meta_keys = ('img_path', 'key', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip', 'flip_direction')
train_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion', brightness_delta=16, contrast_range=(0.8, 1.2), saturation_range=(0.8, 1.2),
         hue_delta=6),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
eval_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),  # after any resizing: scored at native resolution
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
    type='GTA5Domain', data_root=data_root + '/gta5', split='train', classes=classes, pipeline=train_pipeline)
target_train = dict(
    type='CityscapesDomain', data_root=data_root + '/cityscapes', split='train', classes=classes, labelled=False,
    pipeline=train_pipeline)
target_train_labelled = dict(  # ground truth: supervised baselines and the oracle only
    type='CityscapesDomain', data_root=data_root + '/cityscapes', split='train', classes=classes, labelled=True,
    pipeline=train_pipeline)
target_images = dict(  # the target training images for inference: no labels, no augmentation
    type='CityscapesDomain', data_root=data_root + '/cityscapes', split='train', classes=classes, labelled=False,
    pipeline=inference_pipeline)
target_val = dict(
    type='CityscapesDomain', data_root=data_root + '/cityscapes', split='val', classes=classes, test_mode=True,
    pipeline=eval_pipeline)

train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='CounterSampler'),
    dataset=dict(type='UDADataset', source=source_train, target=target_train))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=target_val)
test_dataloader = val_dataloader

val_evaluator = dict(type='ProtocolIoUMetric', protocol='cityscapes19')
test_evaluator = val_evaluator
