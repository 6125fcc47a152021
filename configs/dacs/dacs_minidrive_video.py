_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive_video.py', '../_base_/methods/dacs.py',
          '../_base_/schedules/minidrive.py', '../_base_/default_runtime.py']
frame_offsets = (0, )  # single frames
