_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/syn2cs_fullres.py', '../_base_/methods/tpld.py',
          '../_base_/schedules/crst.py', '../_base_/default_runtime.py']
segmentor = dict(backbone=dict(bn_mode='eval'))  # true freeze
