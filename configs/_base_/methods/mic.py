# MIC (Hoyer et al., CVPR 2023) on DAFormer: the student also predicts masked target images, which the teacher, who sees all of
# them, has labelled.
_base_ = './daformer.py'
_masked = dict(type='MaskedConsistency', name='masked', block='{cfg:mic.block}', ratio='{cfg:mic.ratio}',
               threshold='{cfg:dacs.threshold}', ignore_rows='{cfg:dacs.ignore_rows}', loss_weight='{cfg:mic.weight}')
_from_scratch = [*_base_._from_scratch, _masked]
dacs = dict(objectives=[*_base_.dacs.objectives, _masked])
mic = dict(block=64, ratio=0.7, weight=1.0)
