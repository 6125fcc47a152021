# AdaptSegNet, output space; single level, or multi-level with the weights of the head `aux` (Tsai et al., CVPR 2018).
model = dict(
    type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}',
    running_statistics='{cfg:running_statistics}',
    objectives=[
        dict(type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}',
             class_weight='{cfg:class_weight?}'),
        dict(type='AdversarialAlignment', name='adversarial', discriminator='{cfg:discriminator}', weights='{cfg:adv_weights}'),
    ])
adv_weights = dict(main=0.001)
source_heads = dict(main=1.0)
