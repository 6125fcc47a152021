# CRST-LRENT (Zou et al., ICCV 2019): CBST with soft labels, computed online by the frozen model of the round.
_base_ = './cbst.py'
self_training = dict(
    teacher=dict(_delete_=True, momentum=1.0),
    objectives=[
        dict(type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}',
             class_weight='{cfg:class_weight?}'),
        dict(type='SoftPseudoLabelCE', name='target', alpha=0.25,
             thresholds='{work_dir}/pseudo_labels/round_{round}/thresholds.json'),
    ])
