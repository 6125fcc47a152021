# TPS: labels predicted on a clean earlier frame and warped by flow train the augmented current frame (Xing et al., ECCV 2022).
# The leaf's `tps.pipeline` is that of the target, with `tps.augmentation` where colours are changed.
model = dict(
    type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}',
    running_statistics='{cfg:running_statistics}', objectives='{cfg:tps.objectives}')
tps = dict(
    weight=1.0,
    threshold=0.9,
    augmentation=dict(type='ClipPhotometric', key_only=True, transforms=[dict(type='PhotoMetricDistortion')]),
    flow=dict(root='{cfg:target_flow.root}'),
    objectives=[
        dict(type='SegmentationCE', name='source', domain='source'),
        dict(type='CrossFramePseudoLabel', name='temporal', weight='{cfg:tps.weight}', threshold='{cfg:tps.threshold}'),
    ])
stages = [dict(name='train', config={
    'train_dataloader.dataset.target.flow': '{cfg:tps.flow}',
    'train_dataloader.dataset.target.pipeline': '{cfg:tps.pipeline}',
})]
