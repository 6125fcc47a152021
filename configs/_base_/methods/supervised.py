# The upper baseline: all labels of the target training set, none of the source. A UDADataset refuses ground truth as a
# target, so the labelled target set takes the place of the source.
model = dict(
    type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}',
    running_statistics='{cfg:running_statistics}',
    objectives=[dict(type='SegmentationCE', name='supervised', domain='source')])
stages = [dict(name='train', config={
    'train_dataloader.dataset.source': '{cfg:target_train_labelled}',
    'train_dataloader.dataset.target': None,
})]
