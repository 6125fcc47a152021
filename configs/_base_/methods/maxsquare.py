# MaxSquare: the maximum squares loss on the target, from a source-only model (Chen, Xue, Cai, ICCV 2019).
_source = dict(
    type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}', class_weight='{cfg:class_weight?}')
model = dict(
    type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}',
    running_statistics='{cfg:running_statistics}', objectives='{cfg:max_squares.objectives}')
max_squares = dict(
    weight=0.1,
    image_wise=False,  # MaxSquare-IW: each image's classes weighed by their number of pixels
    ratio=0.2,
    # The authors' denominator, pixels times classes. 'pixels' is the formula of the paper, stronger by the number of classes.
    normalisation='pixels_classes',
    objectives=[
        _source,
        dict(type='PredictionRegularizer', name='max_squares', measure='max_squares', loss_weight='{cfg:max_squares.weight}',
             image_wise='{cfg:max_squares.image_wise}', ratio='{cfg:max_squares.ratio}',
             normalisation='{cfg:max_squares.normalisation}'),
    ])
source_heads = dict(main=1.0)
stages = [
    dict(name='source', config={
        'model.objectives': [_source],
        'train_dataloader.dataset.target': None,
        'train_cfg.max_iters': '{cfg:iters.source_start}',
    }),
    dict(name='adapt', init='source', config={'train_cfg.max_iters': '{cfg:iters.adapt}'}),
]
