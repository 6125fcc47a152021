_base_ = ['./spl_minidrive.py', '../_base_/methods/plus.py']
