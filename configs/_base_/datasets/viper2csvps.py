# SPDX-License-Identifier: Apache-2.0
"""VIPER to Cityscapes-VPS, video, 15 classes: clips of two consecutive frames, scored at the native 2048x1024.

Source at 1280x720, target at 1024x512, as the image pairs with Cityscapes. The source is the sequences of the condition
"day", listed in <root of VIPER>/train_day.txt (docs/datasets.md); set viper_conditions to None for all. Roots: data/viper and
data/cityscapes_vps, or set UDATOOLS_VIPER and UDATOOLS_CITYSCAPES_VPS.
"""
_base_ = './cityscapes_vps_target.py'
source_root = '{{$UDATOOLS_VIPER:data/viper}}'
viper_conditions = 'day'
classes = 'viper15'
num_classes = 15

source_flow = dict(root='{{$UDATOOLS_FLOW:data/flow}}/viper/train')
source_pipeline = [
    dict(type='LoadClip'),
    dict(type='ClipResize', scale=(1280, 720)),
    dict(type='ClipRandomFlip', prob=0.5),
    dict(type='PackClipInputs', meta_keys='{cfg:meta_keys}'),
]
source_train = dict(
    type='ClipDataset',
    dataset=dict(type='VIPERDomain', data_root=source_root, split='train', classes='{cfg:classes}',
                 conditions='{cfg:viper_conditions}'),
    frame_offsets='{cfg:frame_offsets}', pipeline=source_pipeline)
train_dataloader = dict(dataset=dict(source=source_train))

val_evaluator = [
    dict(type='ProtocolIoUMetric', protocol='viper15'),
    dict(type='VPQMetric', protocol='viper15'),
]
test_evaluator = val_evaluator
