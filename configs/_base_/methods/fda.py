# FDA: the source in the style of the target, a robust entropy on the target (Yang and Soatto, CVPR 2020, Eq. 3 and 6).
model = dict(
    type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}',
    running_statistics='{cfg:running_statistics}',
    objectives=[
        dict(type='SegmentationCE', name='source', domain='source', class_weight='{cfg:class_weight?}'),
        dict(type='PredictionRegularizer', name='entropy', measure='charbonnier_entropy', eta='{cfg:fda.eta}',
             loss_weight='{cfg:fda.entropy_weight}'),
    ])
fda = dict(beta=0.01, eta=2.0, entropy_weight=0.005)
stages = [dict(name='train', config={
    'data_preprocessor.domain_transforms': [dict(type='FourierTransfer', beta='{cfg:fda.beta}')],
})]
