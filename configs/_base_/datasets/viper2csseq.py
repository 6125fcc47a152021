# SPDX-License-Identifier: Apache-2.0
"""VIPER to the Cityscapes sequences, the protocol of DA-VSN (ICCV 2021) and TPS (ECCV 2022): 15 classes, `davsn15`.

Source, sizes and clips as viper2csvps.py; the target is all frames of leftImg8bit_sequence, 30 around each of the 2975 training
images. Scored are the 500 annotated validation images: one of each clip, so there is mIoU and no VPQ. Roots: data/viper and
data/cityscapes, or set UDATOOLS_VIPER and UDATOOLS_CITYSCAPES.
"""
_base_ = './viper2csvps.py'
classes = 'davsn15'
target_root = '{{$UDATOOLS_CITYSCAPES:data/cityscapes}}'
target_flow = dict(root='{{$UDATOOLS_FLOW:data/flow}}/cityscapes_sequence/train')
target_images = dict(type='CityscapesSequenceDomain', data_root=target_root)
target_train = target_train_labelled = dict(dataset=target_images)
target_val = dict(type='CityscapesDomain', data_root=target_root)  # the annotated frames, as in leftImg8bit
train_dataloader = dict(dataset=dict(target=target_train))
val_dataloader = test_dataloader = dict(dataset=target_val)
val_evaluator = test_evaluator = [dict(type='ProtocolIoUMetric', protocol='davsn15')]
