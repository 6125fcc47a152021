_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive.py', '../_base_/methods/uda_tags.py',
          '../_base_/schedules/minidrive.py', '../_base_/default_runtime.py']
iters = dict(main=600)  # one stage in place of three rounds of 200
baselines = ['work_dirs/source_only_minidrive', 'work_dirs/adaptsegnet_minidrive', 'work_dirs/supervised_minidrive']
