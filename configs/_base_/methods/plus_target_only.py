# On top of a method whose main model is trained on the answers alone: an EMA teacher labels what nobody was asked about, and
# the main model predicts it from target images with hidden patches (MIC, Hoyer et al., CVPR 2023). No source image is used.
_masked = dict(type='MaskedConsistency', name='masked', block=32)
stage_overrides = dict(main={
    'model.teacher': dict(momentum=0.99),
    'model.objectives': ['{cfg:_target}', _masked],
})
