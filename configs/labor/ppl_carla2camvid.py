_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/carla2camvid.py', '../_base_/methods/labor_ppl.py',
          '../_base_/schedules/small_real.py', '../_base_/default_runtime.py']
labor = dict(
    main='{cfg:eq5_target_only}',
    selector=dict(points_per_class=10, min_distance=5),  # few classes in an image: several points of each
    discrepancy_lr=1e-5,
    budget=dict(_delete_=True, unit='points', amount=40, per='image'))
baselines = ['work_dirs/source_only_carla2camvid', 'work_dirs/adaptsegnet_carla2camvid', 'work_dirs/supervised_carla2camvid']
