# VAT, then VST, on a real clip. Flow first: tools/compute_flow.py with this config.
_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/carla2camvid_video.py',
          '../_base_/methods/vst_with_source.py', '../_base_/schedules/small_real_rounds.py', '../_base_/default_runtime.py']
discriminator = dict(type='SequenceDiscriminator')
vst = dict(aggregation=dict(offsets=(-2, 2)))
self_training = dict(policy=dict(clip_length=10))  # the 50 frames are one recording, thresholds are to follow it
