# CBST and CRST on VIPER to Cityscapes-VPS: as crst.py, a round is two epochs of the 12000 target frames (400 clips of 30).
_base_ = './crst.py'
iters = dict(round=24000)
