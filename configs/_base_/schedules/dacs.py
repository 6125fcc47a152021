# As AdaptSegNet without a discriminator: SGD 2.5e-4 (head x10), poly 0.9 over 250k, all of them (DACS, Sec. 4).
_base_ = './adaptsegnet.py'
iters = dict(train=250000)
