_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive.py', '../_base_/methods/sim.py',
          '../_base_/schedules/minidrive_rounds.py', '../_base_/default_runtime.py']
iters = dict(warmup_start=850, round=150)
