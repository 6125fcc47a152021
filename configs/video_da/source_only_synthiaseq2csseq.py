_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/synthiaseq2csseq.py', '../_base_/methods/source_only.py',
          '../_base_/schedules/adaptsegnet.py', '../_base_/default_runtime.py']
frame_offsets = (0, )  # single frames
