# Small real images for methods that train in rounds on pseudo-labels, see minidrive_rounds.py.
_base_ = './small_real.py'
iters = dict(source_start=420, source=100, warmup_start=320, round=60)
_round = {'optim_wrapper.segmentor.optimizer.lr': 4e-4}
stage_overrides = dict(
    source={'train_dataloader.dataset.target': '{cfg:target_train}'},
    main=_round, second_phase=_round)
