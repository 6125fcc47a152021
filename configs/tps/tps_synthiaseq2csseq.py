_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/synthiaseq2csseq.py', '../_base_/methods/tps.py',
          '../_base_/schedules/adaptsegnet.py', '../_base_/default_runtime.py']
tps = dict(pipeline=[*_base_.target_pipeline[:-1], '{cfg:tps.augmentation}', _base_.target_pipeline[-1]])
iters = dict(train=40000)  # as the authors, of 250k
