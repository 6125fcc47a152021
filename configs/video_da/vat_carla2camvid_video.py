_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/carla2camvid_video.py', '../_base_/methods/vat.py',
          '../_base_/schedules/small_real_rounds.py', '../_base_/default_runtime.py']
discriminator = dict(type='SequenceDiscriminator')
iters = dict(warmup_start=500)  # 600 iterations in all, as everywhere
