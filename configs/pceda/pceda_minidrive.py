_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive.py', '../_base_/methods/pceda.py',
          '../_base_/schedules/minidrive.py', '../_base_/default_runtime.py']
data_preprocessor = dict(domain_transforms=[dict(type='FourierTransfer', beta=0.01)])  # the translated source, on the fly
pceda = dict(channels=(32, 64))  # images of 256x128
iters = dict(prior=300, adapt=700)
