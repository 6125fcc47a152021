# What WDA trains with (Paul et al., ECCV 2020), whoever says which classes are in an image; part of uda_tags.py, wda_tags.py.
category_discriminator = dict(
    type='CategoryDiscriminators', in_channels='{cfg:segmentor.decode_head.in_channels}', num_classes='{cfg:num_classes}')
wda = dict(
    tags=None,  # file of people's tags; None: the classes that the network finds in the image
    threshold=0.2,  # of the network's own tags
    k=1.0,  # of the smooth maximum
    classification_weight=0.01,
    adv_weight=0.001,
    objectives=[
        dict(type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}',
             class_weight='{cfg:class_weight?}'),
        dict(type='WeakLabelClassification', name='tags', tags='{cfg:wda.tags}', threshold='{cfg:wda.threshold}', k='{cfg:wda.k}',
             loss_weight='{cfg:wda.classification_weight}'),
        dict(type='CategoryAlignment', name='categories', discriminator='{cfg:category_discriminator}', tags='{cfg:wda.tags}',
             weight='{cfg:wda.adv_weight}', level='{cfg:segmentor.decode_head.in_index}', threshold='{cfg:wda.threshold}',
             k='{cfg:wda.k}'),
    ])
