# MinEnt: entropy minimisation on the target (Vu et al., CVPR 2019), entropy divided by log C.
model = dict(
    type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}',
    running_statistics='{cfg:running_statistics}',
    objectives=[
        dict(type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}',
             class_weight='{cfg:class_weight?}'),
        dict(type='PredictionRegularizer', name='minent', measure='entropy', heads='{cfg:entropy_weights}'),
    ])
entropy_weights = dict(main=0.001)
source_heads = dict(main=1.0)
