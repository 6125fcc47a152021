_base_ = ['./ppl_carla2camvid.py', '../_base_/methods/plus.py']
