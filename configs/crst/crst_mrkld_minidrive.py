_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive.py', '../_base_/methods/crst_mrkld.py',
          '../_base_/schedules/minidrive_rounds.py', '../_base_/default_runtime.py']
self_training = dict(views=dict(scales=[1.0]), source_portion=None)  # trained at one scale; 200 source images in all
