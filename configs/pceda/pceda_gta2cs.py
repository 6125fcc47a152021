_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/gta2cs_translated.py', '../_base_/methods/pceda.py',
          '../_base_/schedules/bdl.py', '../_base_/default_runtime.py']
