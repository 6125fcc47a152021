_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/carla2camvid.py', '../_base_/methods/cbst.py',
          '../_base_/schedules/small_real_rounds.py', '../_base_/default_runtime.py']
self_training = dict(views=dict(scales=[1.0]), source_portion=None)  # trained at one scale; 711 source images in all
