_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive.py', '../_base_/methods/ltir.py',
          '../_base_/schedules/minidrive_rounds.py', '../_base_/default_runtime.py']
# The translated source and the stylised one, half of the images each, on the fly.
data_preprocessor = dict(domain_transforms=[
    dict(type='FourierTransfer', beta=0.01), dict(type='RandomConvolution', prob=0.5)])
iters = dict(warmup_start=700, round=150)
