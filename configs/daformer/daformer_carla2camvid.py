_base_ = ['../_base_/models/mit_tiny_daformer.py', '../_base_/datasets/carla2camvid.py', '../_base_/methods/daformer.py',
          '../_base_/schedules/minidrive_transformer.py', '../_base_/default_runtime.py']
iters = dict(train=600)
dacs = dict(teacher=dict(momentum=0.99), ignore_rows=(0, 0), objectives='{cfg:_from_scratch}')
rare_classes = dict(statistics=None, min_pixels=500, min_crop_pixels=0)  # nothing is cropped
