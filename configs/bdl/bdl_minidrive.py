_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive.py', '../_base_/methods/bdl.py',
          '../_base_/schedules/minidrive_rounds.py', '../_base_/default_runtime.py']
data_preprocessor = dict(domain_transforms=[dict(type='FourierTransfer', beta=0.01)])  # the translated source, on the fly
iters = dict(warmup_start=700, round=150)
stage_overrides = dict(main={'load_from': '{checkpoint:main|warmup}'})  # random weights: starting over costs too much
