_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive_video.py', '../_base_/methods/crst_mrkld_warmup.py',
          '../_base_/schedules/minidrive_rounds.py', '../_base_/default_runtime.py']
frame_offsets = (0, )  # single frames
self_training = dict(views=dict(scales=[1.0]), source_portion=None)  # trained at one scale; few source images in all
