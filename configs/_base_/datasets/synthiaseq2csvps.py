# SPDX-License-Identifier: Apache-2.0
"""SYNTHIA-Seq to Cityscapes-VPS, video: trained with 12 classes, reported on them and on the 11 of DA-VSN and TPS.

Source at 1280x760, target at 1024x512, scored at the native 2048x1024. The published numbers adapt to all Cityscapes sequences
and score their 500 annotated frames, so they cannot be compared: that pair is `synthiaseq2csseq.py`. The source is the one drive
that they use, SEQS-04-DAWN, if it alone lies in the root or its train.txt names it. Roots: data/synthia_seq and
data/cityscapes_vps, or set UDATOOLS_SYNTHIA_SEQ and UDATOOLS_CITYSCAPES_VPS.
"""
_base_ = './cityscapes_vps_target.py'
source_root = '{{$UDATOOLS_SYNTHIA_SEQ:data/synthia_seq}}'
classes = 'synthiaseq12'
num_classes = 12

source_flow = dict(root='{{$UDATOOLS_FLOW:data/flow}}/synthia_seq/train')
source_pipeline = [
    dict(type='LoadClip'),
    dict(type='ClipResize', scale=(1280, 760)),
    dict(type='ClipRandomFlip', prob=0.5),
    dict(type='PackClipInputs', meta_keys='{cfg:meta_keys}'),
]
source_train = dict(
    type='ClipDataset',
    dataset=dict(type='SYNTHIASeqDomain', data_root=source_root, split='train', classes='{cfg:classes}'),
    frame_offsets='{cfg:frame_offsets}', pipeline=source_pipeline)
train_dataloader = dict(dataset=dict(source=source_train))

val_evaluator = [
    dict(type='ProtocolIoUMetric', protocol='synthiaseq12'),
    dict(type='ProtocolIoUMetric', protocol='synthiaseq11', prefix='synthiaseq11'),
    dict(type='VPQMetric', protocol='synthiaseq12'),
    dict(type='VPQMetric', protocol='synthiaseq11', prefix='synthiaseq11'),
]
test_evaluator = val_evaluator
