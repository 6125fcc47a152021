_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/gta2cs.py', '../_base_/methods/active.py',
          '../_base_/schedules/adaptsegnet.py', '../_base_/default_runtime.py']
labor = dict(
    selector=dict(_delete_=True, type='RegionSelector', units=dict(type='slic', size=32), portion=0.2),
    budget=dict(_delete_=True, unit='clicks', amount=40, per='image'))
baselines = ['work_dirs/source_only_gta2cs', 'work_dirs/adaptsegnet_gta2cs', 'work_dirs/supervised_gta2cs']
