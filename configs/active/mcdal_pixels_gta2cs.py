_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/gta2cs.py', '../_base_/methods/labor_spl.py',
          '../_base_/schedules/adaptsegnet.py', '../_base_/default_runtime.py']
labor = dict(
    selector=dict(_delete_=True, type='MCDALSelector'), budget=dict(_delete_=True, unit='pixels', portion=0.022))
baselines = ['work_dirs/source_only_gta2cs', 'work_dirs/adaptsegnet_gta2cs', 'work_dirs/supervised_gta2cs']
