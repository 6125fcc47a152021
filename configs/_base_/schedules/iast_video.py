# IAST's schedule for VIPER to Cityscapes-VPS: its epochs in iterations of 42455 source frames, batches of 8 and 4, and 12000
# target frames (400 clips of 30), batches of 8.
_base_ = './iast.py'
iters = dict(train=42455, source=42455, source_start=42455, warmup_start=42455, round=3000)
