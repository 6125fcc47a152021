# SPDX-License-Identifier: Apache-2.0
"""As viper2csvps.py, for image methods: single frames of both domains in random crops of 512x512, batches of 2.

`class_statistics`, which rare-class sampling reads, is written by
`tools/dataset_converters/viper.py --classes viper15 --conditions day` (docs/datasets.md).
"""
_base_ = './viper2csvps.py'
crop_size = (512, 512)
frame_offsets = (0, )
class_statistics = '{{$UDATOOLS_VIPER:data/viper}}/udatools/train_viper15/class_statistics.json'
train_dataloader = dict(batch_size=2, dataset=dict(
    source=dict(pipeline=[
        dict(type='LoadClip'),
        dict(type='ClipResize', scale=(1280, 720)),
        dict(type='ClipRandomCrop', crop_size='{cfg:crop_size}', cat_max_ratio=0.75),
        dict(type='ClipRandomFlip', prob=0.5),
        dict(type='PackClipInputs', meta_keys='{cfg:meta_keys}'),
    ]),
    target=dict(pipeline=[
        dict(type='LoadClip'),
        dict(type='ClipResize', scale=(1024, 512)),
        dict(type='ClipRandomCrop', crop_size='{cfg:crop_size}'),
        dict(type='ClipRandomFlip', prob=0.5),
        dict(type='PackClipInputs', meta_keys='{cfg:meta_keys}'),
    ])))
