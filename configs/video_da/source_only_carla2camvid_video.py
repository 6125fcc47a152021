_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/carla2camvid_video.py', '../_base_/methods/source_only.py',
          '../_base_/schedules/small_real.py', '../_base_/default_runtime.py']
