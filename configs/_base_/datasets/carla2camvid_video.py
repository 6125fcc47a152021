# SPDX-License-Identifier: Apache-2.0
"""CARLA to the real clip of CamVid, 11 classes: adapted on its first 50 frames without labels, scored on the other 51.

The clip is CamVid's validation split, 15 frames a second; its training split has one frame a second, which no flow bridges.
Set UDATOOLS_REAL_DATA to the folder that holds carla/ and camvid/, or link it as data/real.
"""
_base_ = './carla2camvid.py'
frame_offsets = (0, -1)  # of CARLA
target_offsets = (0, -2)  # frame numbers are those of the recording, of which the clip has every second one

target_flow = dict(root='{{$UDATOOLS_FLOW:data/flow}}/camvid/val')

meta_keys = ('img_path', 'key', 'clip', 'frame', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip', 'flip_direction')
_colours = dict(
    type='PhotoMetricDistortion', brightness_delta=32, contrast_range=(0.5, 1.5), saturation_range=(0.0, 1.6), hue_delta=40)
source_pipeline = [  # as for single images
    dict(type='LoadClip'),
    dict(type='ClipRandomResize', scale=(240, 180), ratio_range=(1.0, 4.0), keep_ratio=True),
    dict(type='ClipCenterCrop', crop_size=(180, 10000)),
    dict(type='ClipRandomCrop', crop_size=_base_.crop_size, cat_max_ratio=0.75),
    dict(type='ClipRandomFlip', prob=0.5),
    dict(type='ClipPhotometric', transforms=[_colours, dict(type='RandomChoice', transforms=[
        [dict(type='AdjustGamma', gamma=gamma)] for gamma in (0.5, 0.7, 1.0, 1.5, 2.2)])]),
    dict(type='PackClipInputs', meta_keys='{cfg:meta_keys}'),
]
train_pipeline = [
    dict(type='LoadClip'),
    dict(type='ClipResize', scale=(240, 180)),
    dict(type='ClipRandomFlip', prob=0.5),
    dict(type='ClipPhotometric', transforms=[dict(type='PhotoMetricDistortion')]),
    dict(type='PackClipInputs', meta_keys='{cfg:meta_keys}'),
]
_carla = dict(type='CARLADomain', data_root=_base_.data_root + '/carla', split='train', classes=_base_.classes)
_clip = dict(type='CamVidDomain', data_root=_base_.data_root + '/camvid', split='val', classes=_base_.classes)
_first, _second = list(range(50)), list(range(50, 101))
_source_train = dict(type='ClipDataset', dataset=_carla, frame_offsets='{cfg:frame_offsets}', pipeline=source_pipeline)
_target_train = dict(
    type='ClipDataset', dataset=dict(_clip, labelled=False, indices=_first), frame_offsets='{cfg:target_offsets}',
    pipeline=train_pipeline)
_target_val = dict(_clip, indices=_second, test_mode=True, pipeline=_base_.eval_pipeline)

source_train = dict(_source_train, _delete_=True)
target_train = dict(_target_train, _delete_=True)
target_train_labelled = dict(  # ground truth: supervised baselines and the oracle only
    _target_train, _delete_=True, dataset=dict(_clip, indices=_first))
target_images = dict(_clip, _delete_=True, labelled=False, indices=_first, pipeline=_base_.inference_pipeline)
target_val = dict(_target_val, _delete_=True)

train_dataloader = dict(
    batch_size=4,  # clips: eight images, as with single ones
    dataset=dict(source=dict(_source_train, _delete_=True), target=dict(_target_train, _delete_=True)))
val_dataloader = dict(sampler=dict(_delete_=True, type='ClipSampler'), dataset=dict(_target_val, _delete_=True))
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='ProtocolIoUMetric', protocol='camvid11'),
    dict(type='VPQMetric', protocol='camvid11'),
    dict(type='TemporalConsistencyMetric', protocol='camvid11'),
]
test_evaluator = val_evaluator
