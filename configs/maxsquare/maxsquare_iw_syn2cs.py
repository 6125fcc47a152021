_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/syn2cs.py', '../_base_/methods/maxsquare_iw.py',
          '../_base_/schedules/adaptsegnet.py', '../_base_/default_runtime.py']
iters = dict(source_start=80000, adapt=80000)
