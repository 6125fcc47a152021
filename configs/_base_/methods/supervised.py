# The upper baseline: all labels of the target training set, none of the source.
model = dict(
    type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}',
    objectives=[dict(type='SegmentationCE', name='target', domain='target')])
stages = [dict(name='train', config={
    'train_dataloader.dataset.source': None,
    'train_dataloader.dataset.target': '{cfg:target_train_labelled}',
})]
