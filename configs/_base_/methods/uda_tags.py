# WDA without people: the network's own tags, after an adversarial warm-up.
_base_ = ['./adaptsegnet.py', './wda.py']
_source = dict(
    type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}', class_weight='{cfg:class_weight?}')
stages = [
    dict(name='source', config={
        'model.objectives': [_source],
        'train_dataloader.dataset.target': None,
        'train_cfg.max_iters': '{cfg:iters.source}',
    }),
    dict(name='warmup', init='source', config={'train_cfg.max_iters': '{cfg:iters.warmup}'}),
    dict(name='main', init='warmup', config={
        'model.objectives': '{cfg:wda.objectives}',
        'train_cfg.max_iters': '{cfg:iters.main}',
    }),
]
