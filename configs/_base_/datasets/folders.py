# SPDX-License-Identifier: Apache-2.0
"""Your own data: a labelled folder of images as the source, a folder without labels as the target (docs/own_data.md).

A config on this base says `classes`, `num_classes`, and in `folders` where things are. Labels are single-channel PNGs under the
names of the images, in train ids (255 = ignore), or in ids of their own with a `*_label_map`: {raw id: class, or 'ignore'}.
"""
folders = dict(
    source='data/own/source/images', source_labels='data/own/source/labels',
    target='data/own/target/images', target_labels=None,  # labels: for the supervised baseline and the oracle only
    val='data/own/val/images', val_labels='data/own/val/labels')
source_label_map = {}  # empty: labels are train ids
target_label_map = {}  # of the target's training and validation labels
image_size = (640, 360)  # width, height of a training image; scored at native resolution
crop_size = (360, 640)  # the same, height first, for methods that ask

meta_keys = ('img_path', 'key', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip', 'flip_direction')
train_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='SparseSafeResize', scale='{cfg:image_size}'),  # keeps single labelled points
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
eval_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='Resize', scale='{cfg:image_size}'),
    dict(type='LoadDomainLabel'),  # after the resizing: scored at native resolution
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
inference_pipeline = [
    dict(type='LoadDomainImage'),
    dict(type='Resize', scale='{cfg:image_size}'),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
# Stock transforms only, for mmseg.apis.inference_model on an exported checkpoint.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale='{cfg:image_size}'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]

source_train = dict(
    type='ImageFolderDomain', data_root='{cfg:folders.source}', label_root='{cfg:folders.source_labels}',
    label_map='{cfg:source_label_map}', classes='{cfg:classes}', labelled=True, pipeline='{cfg:train_pipeline}')
_folder_target = dict(type='ImageFolderDomain', data_root='{cfg:folders.target}', classes='{cfg:classes}')
target_train = dict(_folder_target, labelled=False, pipeline='{cfg:train_pipeline}')
target_train_labelled = dict(  # ground truth: supervised baselines and the oracle only
    _folder_target, labelled=True, label_root='{cfg:folders.target_labels}', label_map='{cfg:target_label_map}',
    pipeline='{cfg:train_pipeline}')
target_images = dict(_folder_target, labelled=False, pipeline='{cfg:inference_pipeline}')  # for inference: no augmentation
target_val = dict(
    type='ImageFolderDomain', data_root='{cfg:folders.val}', split='val', label_root='{cfg:folders.val_labels}',
    label_map='{cfg:target_label_map}', classes='{cfg:classes}', labelled=True, test_mode=True, pipeline='{cfg:eval_pipeline}')

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='CounterSampler'),
    dataset=dict(type='UDADataset', source=source_train, target=target_train))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset='{cfg:target_val}')
test_dataloader = val_dataloader

val_evaluator = dict(type='ProtocolIoUMetric', protocol='{cfg:classes}')
test_evaluator = val_evaluator
