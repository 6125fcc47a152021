_base_ = ['../_base_/models/fcn8s_vgg16.py', '../_base_/datasets/syn2cs_fullres.py', '../_base_/methods/lse.py',
          '../_base_/schedules/crst.py', '../_base_/default_runtime.py']
