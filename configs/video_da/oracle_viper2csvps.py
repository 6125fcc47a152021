_base_ = ['../_base_/models/deeplabv2_r50.py', '../_base_/datasets/viper2csvps.py', '../_base_/methods/supervised.py',
          '../_base_/schedules/adaptsegnet.py', '../_base_/default_runtime.py']
