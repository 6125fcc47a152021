# Small real images for methods that train in rounds on pseudo-labels, see minidrive_rounds.py.
_base_ = './small_real.py'
iters = dict(source_start=420, warmup_start=270, round=60)
stage_overrides = dict(main={'optim_wrapper.segmentor.optimizer.lr': 4e-4})
