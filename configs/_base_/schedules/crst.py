# CBST and CRST: source and warm-up as in adaptsegnet.py, then rounds with SGD at a constant 5e-5 (head x10), 1 + 1 images.
_base_ = './adaptsegnet.py'
iters = dict(source_start=120000, warmup_start=100000, round=5950)  # two epochs of the 2975 target images a round
_round = {'optim_wrapper.segmentor.optimizer.lr': 5e-5, 'param_scheduler': []}
stage_overrides = dict(main=_round, second_phase=_round)
