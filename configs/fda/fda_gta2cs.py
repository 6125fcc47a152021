_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/gta2cs_crops.py', '../_base_/methods/fda.py',
          '../_base_/schedules/fda.py', '../_base_/default_runtime.py']
