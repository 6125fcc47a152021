_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive_video.py', '../_base_/methods/supervised.py',
          '../_base_/schedules/minidrive.py', '../_base_/default_runtime.py']
