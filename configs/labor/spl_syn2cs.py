_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/syn2cs.py', '../_base_/methods/labor_spl.py',
          '../_base_/schedules/adaptsegnet.py', '../_base_/default_runtime.py']
baselines = ['work_dirs/source_only_syn2cs', 'work_dirs/adaptsegnet_syn2cs', 'work_dirs/supervised_syn2cs']
