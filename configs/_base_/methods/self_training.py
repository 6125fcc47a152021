# Self-training in rounds, shared by CBST, CRST and IAST: label the target with the newest model, train on that, repeat. A
# method adds `self_training.policy`, `self_training.objectives` and its list of `stages`, made of the pieces below.
_base_ = './adaptsegnet.py'
self_training = dict(
    views=dict(scales=[1.0], flip=False),  # of the images whose mean prediction is labelled
    teacher=None,  # of the model in the rounds
)
_source_config = {
    'model.objectives': [dict(
        type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}', class_weight='{cfg:class_weight?}')],
    'train_dataloader.dataset.target': None,
}
_source_start_stage = dict(name='source', config={**_source_config, 'train_cfg.max_iters': '{cfg:iters.source_start}'})
_source_stage = dict(name='source', config={**_source_config, 'train_cfg.max_iters': '{cfg:iters.source}'})
_warmup_stage = dict(name='warmup', init='source', config={'train_cfg.max_iters': '{cfg:iters.warmup_start}'})
_pseudo = '{work_dir}/pseudo_labels/round_{round}'
_main_step = dict(name='main', init=['main', 'warmup', 'source'], config={
    'model.objectives': '{cfg:self_training.objectives}',
    'model.teacher': '{cfg:self_training.teacher}',
    'train_dataloader.dataset.target.label_dir': _pseudo + '/labels',
    'mining_coverage': _pseudo + '/coverage.json',
    'train_cfg.max_iters': '{cfg:iters.round}',
    'custom_hooks': [dict(
        type='PseudoLabelHook', policy='{cfg:self_training.policy}', dataset='{cfg:target_images}', out_dir=_pseudo,
        views='{cfg:self_training.views}', checkpoint='{checkpoint:main|warmup|source}',
        model=dict(type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}'))],
})
