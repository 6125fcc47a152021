_base_ = ['../_base_/models/mit_b5_daformer.py', '../_base_/datasets/gta2cs_512.py', '../_base_/methods/mic.py',
          '../_base_/schedules/daformer.py', '../_base_/default_runtime.py']
