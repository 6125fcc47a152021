_base_ = ['./ppl_minidrive.py', '../_base_/methods/plus.py']
