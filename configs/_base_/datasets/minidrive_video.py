# SPDX-License-Identifier: Apache-2.0
"""MiniDrive as video: "sim" in the layout of VIPER to "real" in that of Cityscapes-VPS, 256x128, 15 classes, clips of two frames.

Generate it with tools/dataset_converters/make_minidrive.py --video; set UDATOOLS_MINIDRIVE to the generated folder, or
generate it into data/minidrive. Its exact flow is beside it.
"""
data_root = '{{$UDATOOLS_MINIDRIVE:data/minidrive}}'
classes = 'viper15'
num_classes = 15
crop_size = (128, 256)  # height, width of a training image: the native size, nothing is cropped or resized
frame_offsets = (0, -1)  # key frame and the one before

# What a method that reads flow sets as `flow` of a training set: the generator's own, exact.
source_flow = dict(root=data_root + '/flow/viper/train')
target_flow = dict(root=data_root + '/flow/cityscapes_vps/train')

meta_keys = ('img_path', 'key', 'clip', 'frame', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip', 'flip_direction')
train_pipeline = [
    dict(type='LoadClip'),
    dict(type='ClipRandomFlip', prob=0.5),
    dict(type='ClipPhotometric', transforms=[
        dict(type='PhotoMetricDistortion', brightness_delta=16, contrast_range=(0.8, 1.2), saturation_range=(0.8, 1.2),
             hue_delta=6)]),
    dict(type='PackClipInputs', meta_keys=meta_keys),
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

_viper = dict(type='VIPERDomain', data_root=data_root + '/viper', classes=classes)
_cityscapes = dict(type='CityscapesVPSDomain', data_root=data_root + '/cityscapes_vps', classes=classes)
source_train = dict(
    type='ClipDataset', dataset=dict(_viper, split='train'), frame_offsets='{cfg:frame_offsets}', pipeline=train_pipeline)
target_train = dict(
    type='ClipDataset', dataset=dict(_cityscapes, split='train', labelled=False), frame_offsets='{cfg:frame_offsets}',
    pipeline=train_pipeline)
# Ground truth: supervised baselines and the oracle only. Every fifth frame has it, so clips are of one frame.
target_train_labelled = dict(
    type='ClipDataset', dataset=dict(_cityscapes, split='train', labelled=True), frame_offsets=(0, ), pipeline=train_pipeline)
# All target training frames for inference, in the order of time: no labels, no augmentation.
target_images = dict(_cityscapes, split='train', labelled=False, pipeline=inference_pipeline)
target_val = dict(_cityscapes, split='val', test_mode=True, pipeline=eval_pipeline)

train_dataloader = dict(
    batch_size=4,  # clips of each domain: as many scenes as the image methods see, twice their frames
    num_workers=0,
    sampler=dict(type='CounterSampler'),
    dataset=dict(type='UDADataset', source=source_train, target=target_train))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=target_val)
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='ProtocolIoUMetric', protocol='viper15'),
    dict(type='VPQMetric', protocol='viper15'),
]
test_evaluator = val_evaluator
