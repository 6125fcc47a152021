# What every run shares. `{cfg:NAME}` refers to a value of the merged config, see docs/architecture.md.
runner_type = 'StagedRunner'
default_scope = 'mmseg'
custom_imports = dict(imports=['udatools'], allow_failed_imports=False)
randomness = dict(seed=0)
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl'))
log_level = 'INFO'
log_processor = dict(by_epoch=False, log_with_hierarchy=True)
progress = dict(interval=50)
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=None,
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook', by_epoch=False, interval='{cfg:checkpoint_interval}', max_keep_ckpts=2,
        backend_args=dict(backend='atomic')),
)
visualizer = dict(type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
# Where curves go besides `vis_data/scalars.json` of each stage, by name: see docs/logging.md.
track = []
trackers = dict(
    tensorboard=dict(type='TensorboardVisBackend'),
    wandb=dict(
        type='WandbVisBackend', define_metric_cfg=[dict(name='*', step_metric='iter')],
        init_kwargs=dict(project='udatools', group='{run}', name='{stage}', id='{run_id}_{stage}', resume='allow',
                         allow_val_change=True)),
    mlflow=dict(
        type='MLflowVisBackend', exp_name='{run}', run_name='{stage}', tags=dict(run_id='{run_id}'),
        tracking_uri='sqlite:///{work_dir}/mlflow.db', artifact_location='{work_dir}/mlflow_artifacts',
        tracked_config_keys=['optim_wrapper', 'train_cfg', 'randomness']),
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters='{cfg:iters.train}', val_begin=2**62)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
