# As AdaptSegNet: 80k iterations without pseudo-labels, 120k with them (commands of BDL's authors; PCEDA and SIM as our reading).
_base_ = './adaptsegnet.py'
iters = dict(warmup_start=80000, round=120000, prior=100000, adapt=100000)
