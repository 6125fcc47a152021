# LabOR, point-based pixel labelling (Shin et al., ICCV 2021, Algorithm 1).
_base_ = './labor_spl.py'
labor = dict(selector=dict(_delete_=True, type='LabORPPLSelector'))
