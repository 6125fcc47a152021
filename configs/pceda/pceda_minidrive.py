_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive.py', '../_base_/methods/pceda.py',
          '../_base_/schedules/minidrive.py', '../_base_/default_runtime.py']
data_preprocessor = dict(domain_transforms=[dict(type='FourierTransfer', beta=0.01)])  # the translated source, on the fly
pceda = dict(stride=2, channels=(32, ), lr_mult=20.0)  # images of 256x128
iters = dict(prior=700, adapt=300)
stage_overrides = dict(adapt={'optim_wrapper.segmentor.optimizer.lr': 4e-4})  # a fifth, as rounds of self-training
