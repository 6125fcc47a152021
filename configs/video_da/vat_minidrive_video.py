# Table 3, ours: sequence discriminator, tube matching.
_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive_video.py', '../_base_/methods/vat.py',
          '../_base_/schedules/minidrive_rounds.py', '../_base_/default_runtime.py']
discriminator = dict(type='SequenceDiscriminator')
iters = dict(warmup_start=900)  # 1000 iterations in all, as everywhere
