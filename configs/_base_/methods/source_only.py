# Supervised training on the source; the target is not read.
model = dict(
    type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}',
    running_statistics='{cfg:running_statistics}',
    objectives=[dict(type='SegmentationCE', name='source', domain='source', class_weight='{cfg:class_weight?}')])
stages = [dict(name='train', config={'train_dataloader.dataset.target': None})]
