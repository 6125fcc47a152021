_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive.py', '../_base_/methods/lse.py',
          '../_base_/schedules/minidrive_rounds.py', '../_base_/default_runtime.py']
