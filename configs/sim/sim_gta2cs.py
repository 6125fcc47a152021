_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/gta2cs.py', '../_base_/methods/sim.py',
          '../_base_/schedules/bdl.py', '../_base_/default_runtime.py']
