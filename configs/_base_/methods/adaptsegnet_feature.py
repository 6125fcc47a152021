# AdaptSegNet, feature level: the discriminator sees the backbone's last features.
model = dict(
    type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}',
    running_statistics='{cfg:running_statistics}',
    objectives=[
        dict(type='SegmentationCE', name='source', domain='source', class_weight='{cfg:class_weight?}'),
        dict(type='AdversarialAlignment', name='adversarial', discriminator='{cfg:discriminator}', space='feature',
             weights='{cfg:adv_weights}'),
    ])
adv_weights = {'3': 0.001}
