_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/synthiaseq2csseq.py', '../_base_/methods/davsn.py',
          '../_base_/schedules/adaptsegnet.py', '../_base_/default_runtime.py']
