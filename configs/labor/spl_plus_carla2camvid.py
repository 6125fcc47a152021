_base_ = ['./spl_carla2camvid.py', '../_base_/methods/plus_target_only.py']
