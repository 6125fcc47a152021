# CBST on top of the adversarial warm-up of AdaptSegNet: the row CBST* of the video papers.
_base_ = './cbst.py'
stages = [_base_._source_stage, _base_._warmup_stage, _base_._rounds]
