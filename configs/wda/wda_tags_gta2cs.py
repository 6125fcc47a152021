_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/gta2cs.py', '../_base_/methods/wda_tags.py',
          '../_base_/schedules/adaptsegnet.py', '../_base_/default_runtime.py']
baselines = ['work_dirs/source_only_gta2cs', 'work_dirs/adaptsegnet_gta2cs', 'work_dirs/supervised_gta2cs']
