_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/carla2camvid.py', '../_base_/methods/iast.py',
          '../_base_/schedules/small_real_rounds.py', '../_base_/default_runtime.py']
discriminator = dict(first_kernel_size=3)
