# AdaptSegNet, output space, single level (Tsai et al., CVPR 2018).
model = dict(
    type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}',
    objectives=[
        dict(type='SegmentationCE', name='source', domain='source'),
        dict(type='AdversarialAlignment', name='adversarial', discriminator='{cfg:discriminator}', weights='{cfg:adv_weights}'),
    ])
adv_weights = dict(main=0.001)
