_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/carla2camvid.py', '../_base_/methods/labor_spl.py',
          '../_base_/schedules/small_real.py', '../_base_/default_runtime.py']
labor = dict(
    main='{cfg:eq5_target_only}',
    selector=dict(_delete_=True, type='MCDALSelector', portion=0.1),
    discrepancy_lr=1e-5,
    budget=dict(_delete_=True, unit='pixels', portion=0.022))
baselines = ['work_dirs/source_only_carla2camvid', 'work_dirs/adaptsegnet_carla2camvid', 'work_dirs/supervised_carla2camvid']
