# PatchAlign: alignment of discriminative patch representations (Tsai et al., ICCV 2019), from a source-only model.
_source = dict(
    type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}', class_weight='{cfg:class_weight?}')
model = dict(
    type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}',
    running_statistics='{cfg:running_statistics}',
    objectives=[
        _source,
        dict(type='AdversarialAlignment', name='adversarial', discriminator='{cfg:discriminator}', weights='{cfg:adv_weights}'),
        dict(type='PatchAlignment', name='patch', discriminator='{cfg:patch_discriminator}', num_classes='{cfg:num_classes}',
             num_clusters='{cfg:patch.clusters}', patch_size='{cfg:patch.size}', weight='{cfg:patch.adv_weight}',
             classifier_weight='{cfg:patch.classifier_weight}'),
    ])
patch = dict(
    clusters=50,
    size=(32, 64),  # height, width in pixels of a training image
    source_size=(720, 1280),  # height, width of the source's training images, where the modes are found
    classifier_weight=0.01,  # lambda_d
    adv_weight=0.0005,  # lambda_adv of the patches
    max_images=500,
)
patch_discriminator = dict(type='PatchDiscriminator', in_channels='{cfg:patch.clusters}')
adv_weights = dict(main=0.0005)  # lambda_adv of the whole prediction
source_heads = dict(main=1.0)
stages = [
    dict(name='source', config={
        'model.objectives': [_source],
        'train_dataloader.dataset.target': None,
        'train_cfg.max_iters': '{cfg:iters.source}',
    }),
    dict(name='adapt', init='source', config={
        'train_cfg.max_iters': '{cfg:iters.adapt}',
        'custom_hooks': [dict(
            type='PatchModesHook', dataset='{cfg:source_train}', size='{cfg:patch.source_size}',
            out_dir='{work_dir}/patch_modes', max_images='{cfg:patch.max_images}')],
    }),
]
