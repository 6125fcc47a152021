# MiniDrive for methods that train in rounds on pseudo-labels: `train` iterations of the main model in all, as everywhere.
_base_ = './minidrive.py'
iters = dict(source_start=700, warmup_start=500, round=100)  # source_start, or source and warmup_start; then three rounds
stage_overrides = dict(main={'optim_wrapper.segmentor.optimizer.lr': 4e-4})  # a fifth, as CRST's rounds
