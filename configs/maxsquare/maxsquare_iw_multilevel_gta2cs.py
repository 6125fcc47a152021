_base_ = ['../_base_/models/deeplabv2_r101_multilevel.py', '../_base_/datasets/gta2cs.py',
          '../_base_/methods/maxsquare_iw_multilevel.py', '../_base_/schedules/adaptsegnet.py', '../_base_/default_runtime.py']
iters = dict(source_start=80000, adapt=80000)
