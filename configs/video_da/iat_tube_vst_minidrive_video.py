# Table 5, (4): VST on image adversarial training with tube matching.
_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive_video.py', '../_base_/methods/vst_with_source.py',
          '../_base_/schedules/minidrive_rounds.py', '../_base_/default_runtime.py']
