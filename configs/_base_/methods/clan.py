# CLAN: category-level adversarial alignment (Luo et al., CVPR 2019). The leaf gives the model a DualDeepLabV2Head.
_supervised = dict(type='SegmentationCE', name='source', domain='source', heads=dict(first=1.0, second=1.0))
_apart = dict(type='ClassifierWeightCosine', name='weights', loss_weight='{cfg:clan.weight_cosine}')
_adversarial = dict(type='AdversarialAlignment', name='adversarial', discriminator='{cfg:discriminator}',
                    weights='{cfg:adv_weights}')
model = dict(
    type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}',
    running_statistics='{cfg:running_statistics}',
    objectives=[_supervised, _apart, dict(
        _adversarial, local_weight=dict(scale='{cfg:clan.scale}', epsilon='{cfg:clan.epsilon}'))])
clan = dict(
    weight_cosine=0.01,
    scale=40.0,  # lambda_local: of the disagreement 1 - cos(p1, p2)
    epsilon=0.4,  # weight where the classifiers agree
)
adv_weights = dict(main=0.001)
stages = [
    dict(name='preheat', config={  # every pixel weighs 1
        'model.objectives': [_supervised, _apart, _adversarial],
        'train_cfg.max_iters': '{cfg:iters.preheat}',
    }),
    dict(name='clan', init='preheat', config={'train_cfg.max_iters': '{cfg:iters.adapt}'}),
]
