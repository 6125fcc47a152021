_base_ = ['./spl_carla2camvid.py', '../_base_/methods/plus.py']
