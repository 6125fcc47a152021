_base_ = ['../_base_/models/mit_tiny_daformer.py', '../_base_/datasets/minidrive_video.py', '../_base_/methods/daformer.py',
          '../_base_/schedules/minidrive_transformer.py', '../_base_/default_runtime.py']
dacs = dict(teacher=dict(momentum=0.99), ignore_rows=(0, 0), objectives='{cfg:_from_scratch}')
rare_classes = dict(statistics=None, min_pixels=100, min_crop_pixels=0)  # nothing is cropped
frame_offsets = (0, )  # single frames
