# DA-VSN: adversarial alignment of two consecutive predictions and of each, and on the target consistency with what was predicted
# earlier with less entropy (Guan et al., ICCV 2021). One level, weights of the authors.
model = dict(
    type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}',
    running_statistics='{cfg:running_statistics}', objectives='{cfg:davsn.objectives}')
_source = dict(type='SegmentationCE', name='source', domain='source')
_spatio_temporal = dict(type='AdversarialAlignment', name='spatio_temporal', weights='{cfg:adv_weights}', discriminator=dict(
    type='SequenceDiscriminator', in_channels='{cfg:num_classes}', channels='{cfg:davsn.channels}'))
_spatial = dict(type='AdversarialAlignment', name='spatial', weights='{cfg:adv_weights}', discriminator='{cfg:discriminator}')
_intra = dict(type='IntraDomainConsistency', name='intra_domain', weight='{cfg:davsn.intra_weight}')
adv_weights = dict(main=0.001)  # lamda_u; the spatial term has lamda_sa = 1 times that
davsn = dict(
    intra_weight=0.001,  # lamda_u
    channels=(64, 128, 256, 512),  # of the discriminator of clips
    flow=dict(root='{cfg:target_flow.root}'),
    objectives=[_source, _spatio_temporal, _spatial, _intra],
)
stages = [dict(name='train', config={'train_dataloader.dataset.target.flow': '{cfg:davsn.flow}'})]
