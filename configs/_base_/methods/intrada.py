# IntraDA (Pan et al., CVPR 2020): AdvEnt from source to target; then the target images of low entropy, with the model's labels,
# take the place of the source and those of high entropy that of the target.
_base_ = './advent.py'
intrada = dict(
    ranking=dict(type='EntropyRanking', portion=0.67),  # share of easy images
    policy=dict(type='TopPortionPolicy', portion=1.0, cap=None),  # every pixel of an easy image is labelled
)
_pseudo = '{work_dir}/pseudo_labels/round_1'
_inter_stage = dict(name='inter', config={'train_cfg.max_iters': '{cfg:iters.inter}'})
_intra_stage = dict(name='intra', config={  # from the backbone weights again, as the authors do
    'model.objectives': [
        dict(type='SegmentationCE', name='easy', domain='source', heads='{cfg:source_heads}'),
        dict(type='AdversarialAlignment', name='intra', discriminator='{cfg:discriminator}', space='entropy',
             weights='{cfg:adv_weights}'),
    ],
    'model.running_statistics': 'both',  # both domains are the target
    'target_train.label_dir': _pseudo + '/labels',
    'train_dataloader.dataset.source': '{cfg:target_train}',
    'train_cfg.max_iters': '{cfg:iters.intra}',
    'custom_hooks': [dict(
        type='PseudoLabelHook', policy='{cfg:intrada.policy}', ranking='{cfg:intrada.ranking}', intra_domain=True,
        dataset='{cfg:target_images}',
        out_dir=_pseudo, checkpoint='{checkpoint:inter}',
        model=dict(type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}'))],
})
stages = [_inter_stage, _intra_stage]
