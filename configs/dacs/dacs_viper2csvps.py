_base_ = ['../_base_/models/deeplabv2_r50.py', '../_base_/datasets/viper2csvps_512.py', '../_base_/methods/dacs.py',
          '../_base_/schedules/dacs.py', '../_base_/default_runtime.py']
