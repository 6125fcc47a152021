# MaxSquare-IW with self-produced guidance of the head `aux`; needs a multi-level model.
_base_ = './maxsquare_iw.py'
_source = dict(
    type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}', class_weight='{cfg:class_weight?}')
max_squares = dict(objectives=[
    _source,
    dict(type='PredictionRegularizer', name='max_squares', measure='max_squares', loss_weight='{cfg:max_squares.weight}',
         image_wise='{cfg:max_squares.image_wise}', ratio='{cfg:max_squares.ratio}',
         normalisation='{cfg:max_squares.normalisation}'),
    dict(type='SelfProducedGuidance', name='guidance', threshold=0.95, loss_weight=0.1),
])
source_heads = dict(main=1.0, aux=0.1)
