_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive_video.py', '../_base_/methods/iast.py',
          '../_base_/schedules/minidrive_rounds.py', '../_base_/default_runtime.py']
frame_offsets = (0, )  # single frames
discriminator = dict(first_kernel_size=3)
