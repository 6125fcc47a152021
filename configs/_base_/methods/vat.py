# VAT, video adversarial training (Shin et al., Video DA, 2021, Sec. 4.3, Eq. 9) after a source-only start, as IAST's warm-up. The
# discriminator is what the leaf's `discriminator` says: SequenceDiscriminator, or ImageDiscriminator for the ablation.
_base_ = './self_training.py'
_source = dict(type='SegmentationCE', name='source', domain='source', loss_weight='{cfg:vat.segmentation_weight}',
               class_weight='{cfg:class_weight?}')
_tube = dict(type='TubeMatching', name='tube', weight='{cfg:vat.tube.weight}', mode='{cfg:vat.tube.mode}',
             reduction='{cfg:vat.tube.reduction}')
_adversarial = dict(type='AdversarialAlignment', name='adversarial', discriminator='{cfg:discriminator}',
                    weights='{cfg:adv_weights}', gan='{cfg:vat.gan}')
model = dict(objectives='{cfg:vat.objectives}')
vat = dict(
    segmentation_weight=2.0,  # Eq. 9 sums over the two frames of a clip, SegmentationCE takes their mean
    tube=dict(weight=1.0, mode='tube', reduction='sum'),
    gan='bce',  # Eq. 8; IAST has 'ls'
    objectives=[_source, _tube, _adversarial],
)
adv_weights = dict(main=0.05)  # lambda_V of Eq. 9 is not given; that of IAST, whose framework the paper builds on
stages = [_base_._source_stage, _base_._warmup_stage]
