# AdvEnt and MinEnt as one sum of objectives.
model = dict(
    type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}',
    running_statistics='{cfg:running_statistics}',
    objectives=[
        dict(type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}',
             class_weight='{cfg:class_weight?}'),
        dict(type='AdversarialAlignment', name='adversarial', discriminator='{cfg:discriminator}', space='entropy',
             weights='{cfg:adv_weights}'),
        dict(type='PredictionRegularizer', name='minent', measure='entropy', heads='{cfg:entropy_weights}'),
    ])
adv_weights = dict(main=0.001)
entropy_weights = dict(main=0.001)
source_heads = dict(main=1.0)
