# On top of any method of active labelling: an EMA teacher labels what nobody was asked about. Source classes are pasted
# into target images, whose labels are the answers where there are some and the teacher's prediction elsewhere (DACS,
# Tranheden et al., WACV 2021).
stage_overrides = dict(main={
    'model.teacher': dict(momentum=0.99),
    'model.mixing': dict(type='ClassMix'),
    'model.objectives': ['{cfg:_target}', '{cfg:_source}', '{cfg:_adversarial}',
                         dict(type='SegmentationCE', name='mixed', domain='mixed')],
})
