# SPDX-License-Identifier: Apache-2.0
"""GTA5 to Cityscapes, 19 classes: source at 1280x720, target at 1024x512, scored at the native 2048x1024.

Sizes and batch as in AdaptSegNet and its successors. Roots: data/gta5 and data/cityscapes, or set UDATOOLS_GTA5 and
UDATOOLS_CITYSCAPES.
"""
source_root = '{{$UDATOOLS_GTA5:data/gta5}}'
target_root = '{{$UDATOOLS_CITYSCAPES:data/cityscapes}}'
classes = 'cityscapes19'
num_classes = 19
crop_size = (512, 1024)  # height, width of a target training image

meta_keys = ('img_path', 'key', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip', 'flip_direction')
source_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel', size_mismatch='resize'),  # a few pairs of GTA5 differ in size: warn and train on them
    dict(type='SparseSafeResize', scale=(1280, 720)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
target_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='SparseSafeResize', scale=(1024, 512)),  # keeps single labelled points
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs', meta_keys=meta_keys),
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

source_train = dict(
    type='GTA5Domain', data_root=source_root, split='train', classes=classes, pipeline=source_pipeline)
target_train = dict(
    type='CityscapesDomain', data_root=target_root, split='train', classes=classes, labelled=False,
    pipeline=target_pipeline)
target_train_labelled = dict(  # ground truth: supervised baselines and the oracle only
    type='CityscapesDomain', data_root=target_root, split='train', classes=classes, labelled=True,
    pipeline=target_pipeline)
target_images = dict(  # the target training images for inference: no labels, no augmentation
    type='CityscapesDomain', data_root=target_root, split='train', classes=classes, labelled=False,
    pipeline=inference_pipeline)
target_val = dict(
    type='CityscapesDomain', data_root=target_root, split='val', classes=classes, test_mode=True,
    pipeline=eval_pipeline)

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

val_evaluator = dict(type='ProtocolIoUMetric', protocol='cityscapes19')
test_evaluator = val_evaluator
