# As iast_video.py in batches of the same number of frames: half as many clips of two.
_base_ = './iast_video.py'
stage_overrides = dict(
    source={'train_dataloader.batch_size': 4}, warmup={'train_dataloader.batch_size': 2}, main={'train_dataloader.batch_size': 4})
