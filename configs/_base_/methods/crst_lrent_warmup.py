# CRST-LRENT on top of the adversarial warm-up of AdaptSegNet: the row CRST* of the video papers.
_base_ = './crst_lrent.py'
stages = [_base_._source_stage, _base_._warmup_stage, _base_._rounds]
