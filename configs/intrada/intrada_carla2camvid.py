# The second model goes on from the first one: from random weights, starting over costs too much.
_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/carla2camvid.py', '../_base_/methods/intrada.py',
          '../_base_/schedules/small_real.py', '../_base_/default_runtime.py']
stage_overrides = dict(intra={'load_from': '{checkpoint:inter}', 'optim_wrapper.segmentor.optimizer.lr': 4e-4})
