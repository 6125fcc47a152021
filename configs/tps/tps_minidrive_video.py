_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive_video.py', '../_base_/methods/tps.py',
          '../_base_/schedules/minidrive.py', '../_base_/default_runtime.py']
tps = dict(pipeline=[*_base_.train_pipeline[:2], '{cfg:tps.augmentation}', _base_.train_pipeline[-1]])
