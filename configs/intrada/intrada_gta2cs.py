_base_ = ['../_base_/models/deeplabv2_r101_multilevel.py', '../_base_/datasets/gta2cs.py', '../_base_/methods/intrada.py',
          '../_base_/schedules/adaptsegnet.py', '../_base_/default_runtime.py']
adv_weights = dict(main=0.001, aux=0.0002)
source_heads = dict(main=1.0, aux=0.1)
