# WDA with one point of each class in every image, which people choose: tags, and the point loss (Paul et al., ECCV 2020).
_base_ = './wda_tags.py'
labor = dict(selector=dict(kind='class_points'))
wda_with_source = dict(objectives=['{cfg:*wda.objectives}', '{cfg:_target}'])
