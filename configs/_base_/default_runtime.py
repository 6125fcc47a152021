# What every run shares. `{cfg:NAME}` refers to a value of the merged config, see docs/architecture.md.
runner_type = 'StagedRunner'
default_scope = 'mmseg'
custom_imports = dict(imports=['udatools'], allow_failed_imports=False)
randomness = dict(seed=0)
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl'))
log_level = 'INFO'
log_processor = dict(by_epoch=False)
progress = dict(interval=50)
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=None,
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook', by_epoch=False, interval='{cfg:checkpoint_interval}', max_keep_ckpts=2,
        backend_args=dict(backend='atomic')),
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends)
train_cfg = dict(type='IterBasedTrainLoop', max_iters='{cfg:iters.train}', val_begin=2**62)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
