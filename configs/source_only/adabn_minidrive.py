# Source labels alone, but batch norm keeps the statistics of the target: what every method that sees target images gets for free.
_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive.py', '../_base_/methods/source_only.py',
          '../_base_/schedules/minidrive.py', '../_base_/default_runtime.py']
stages = [dict(name='train')]
