# DACS (Tranheden et al., WACV 2021): half of the classes of a source image are pasted into a target image, which is labelled by
# ground truth and an EMA teacher.
_source = dict(type='SegmentationCE', name='source', domain='source')
_mixed = dict(type='SegmentationCE', name='mixed', domain='mixed')
model = dict(
    type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}',
    running_statistics='{cfg:running_statistics}', teacher='{cfg:dacs.teacher}', mixing='{cfg:dacs.mixing}',
    objectives='{cfg:dacs.objectives}')
dacs = dict(
    teacher=dict(momentum=0.99),
    mixing=dict(type='ClassMix', threshold='{cfg:dacs.threshold}', ignore_rows='{cfg:dacs.ignore_rows}'),
    threshold=0.968,  # a teacher's label weighs the share of the image's pixels that are predicted with more
    ignore_rows=(0, 0),  # at the top and at the bottom, where the teacher is not believed
    objectives=[_source, _mixed],
)
