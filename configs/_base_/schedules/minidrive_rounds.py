# MiniDrive for methods that train in rounds on pseudo-labels: `train` iterations of the main model in all, as everywhere.
_base_ = './minidrive.py'
# A round is two epochs of the 150 target images, as in CRST and IAST. Before: source_start, or source and warmup_start.
iters = dict(source_start=775, source=100, warmup_start=675, round=75)
_round = {'optim_wrapper.segmentor.optimizer.lr': 4e-4}  # a fifth, as CRST's rounds
stage_overrides = dict(
    # The network is trained from scratch: without this, the first labels come from statistics of source images alone.
    source={'train_dataloader.dataset.target': '{cfg:target_train}'},
    main=_round, second_phase=_round)
