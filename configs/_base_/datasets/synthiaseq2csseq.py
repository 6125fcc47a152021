# SPDX-License-Identifier: Apache-2.0
"""SYNTHIA-Seq to the Cityscapes sequences, as DA-VSN (ICCV 2021) and TPS (ECCV 2022): 12 classes, reported on 11, `synthiaseq11`.

Source, sizes and clips as synthiaseq2csvps.py, the target as viper2csseq.py. Roots: data/synthia_seq and data/cityscapes, or set
UDATOOLS_SYNTHIA_SEQ and UDATOOLS_CITYSCAPES.
"""
_base_ = './synthiaseq2csvps.py'
target_root = '{{$UDATOOLS_CITYSCAPES:data/cityscapes}}'
target_flow = dict(root='{{$UDATOOLS_FLOW:data/flow}}/cityscapes_sequence/train')
target_images = dict(type='CityscapesSequenceDomain', data_root=target_root)
target_train = target_train_labelled = dict(dataset=target_images)
target_val = dict(type='CityscapesDomain', data_root=target_root)  # the annotated frames, as in leftImg8bit
train_dataloader = dict(dataset=dict(target=target_train))
val_dataloader = test_dataloader = dict(dataset=target_val)
val_evaluator = test_evaluator = [dict(type='ProtocolIoUMetric', protocol='synthiaseq11')]
