# Each of the three models sees 1000 iterations in all and goes on from itself in each round: from random weights, starting
# over costs too much.
_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive.py', '../_base_/methods/fda_mbt.py',
          '../_base_/schedules/minidrive.py', '../_base_/default_runtime.py']
iters = dict(fda=400, fda_self_training=300)
stage_overrides = {'self_training' + band: {'load_from': '{checkpoint:self_training%s|fda%s}' % (band, band)}
                   for band in ('_1', '_2', '_3')}
