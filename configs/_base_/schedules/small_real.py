# 600 iterations of the main model, whatever the method: as in the MiniDrive schedule, in batches of 8 at 240x180.
_base_ = './minidrive.py'
iters = dict(train=600, source=150, warmup=150, self_training=40, discrepancy=10, main=100, inter=420, intra=180)
