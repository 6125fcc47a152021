# Single points: 40 an image over all rounds.
_base_ = './active.py'
labor = dict(budget=dict(_delete_=True, unit='points', amount=40, per='image'))
