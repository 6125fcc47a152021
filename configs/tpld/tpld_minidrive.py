# Two rounds and one, where the paper has six and three: the delivered model sees 1000 iterations in all. The window is as wide
# relative to the image as the paper's.
_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive.py', '../_base_/methods/tpld.py',
          '../_base_/schedules/minidrive_rounds.py', '../_base_/default_runtime.py']
self_training = dict(views=dict(scales=[1.0]), source_portion=None)  # trained at one scale; 200 source images in all
tpld = dict(voting=dict(window=7), second=dict(policy=dict(portion=0.3)))
stages = [_base_.stages[0], dict(_base_.stages[1], repeat=2), dict(_base_.stages[2], repeat=1)]
