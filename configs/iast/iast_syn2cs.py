_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/syn2cs.py', '../_base_/methods/iast.py',
          '../_base_/schedules/iast.py', '../_base_/default_runtime.py']
segmentor = dict(backbone=dict(bn_mode='eval'))  # true freeze
discriminator = dict(first_kernel_size=3)
iters = dict(source=9400, warmup_start=9400)  # the same epochs of 9400 SYNTHIA images
