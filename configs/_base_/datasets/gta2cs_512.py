# SPDX-License-Identifier: Apache-2.0
"""As gta2cs.py, both domains in random crops of 512x512 of the resized images, batches of 2 (DACS, DAFormer and descendants).

`class_statistics`, which rare-class sampling reads, is written by `tools/dataset_converters/gta5.py` (docs/datasets.md).
"""
_base_ = './gta2cs.py'
crop_size = (512, 512)
class_statistics = '{{$UDATOOLS_GTA5:data/gta5}}/udatools/train_cityscapes19/class_statistics.json'
train_dataloader = dict(batch_size=2, dataset=dict(
    source=dict(pipeline=[
        dict(type='LoadDomainImage'),
        dict(type='LoadDomainLabel', size_mismatch='resize'),
        dict(type='SparseSafeResize', scale=(1280, 720)),
        dict(type='RandomCrop', crop_size='{cfg:crop_size}', cat_max_ratio=0.75),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
    ]),
    target=dict(pipeline=[
        dict(type='LoadDomainImage'),
        dict(type='LoadDomainLabel'),
        dict(type='SparseSafeResize', scale=(1024, 512)),
        dict(type='RandomCrop', crop_size='{cfg:crop_size}'),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackSegInputs', meta_keys='{cfg:meta_keys}'),
    ])))
