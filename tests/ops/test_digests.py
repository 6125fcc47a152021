# SPDX-License-Identifier: Apache-2.0
"""Hashes that follow content and nothing else."""
import pytest
import torch

from udatools.ops.digests import json_digest, state_dict_digest


def test_json_digest_ignores_the_order_of_keys_only():
    assert json_digest(dict(a=1, b=[1, 2])) == json_digest(dict(b=[1, 2], a=1))
    assert json_digest([1, 2]) != json_digest([2, 1])
    with pytest.raises(TypeError):
        json_digest(dict(a=object()))


def test_state_dict_digest_follows_values_names_shapes_and_dtypes():
    base = dict(w=torch.arange(6.).view(2, 3), n=torch.tensor(3), b=torch.tensor([True]), empty=torch.zeros(0))
    same = dict(reversed([(name, value.clone()) for name, value in base.items()]))
    assert state_dict_digest(base) == state_dict_digest(same)
    changed = base['w'].clone()
    changed[1, 2] += 1e-6
    for name, value in [('w', changed), ('w', base['w'].view(3, 2)), ('w', base['w'].double()), ('v', base['w'])]:
        assert state_dict_digest({**base, name: value}) != state_dict_digest(base)


def test_state_dict_digest_reads_views_by_their_content():
    tensor = torch.arange(6.).view(2, 3)
    assert state_dict_digest(dict(w=tensor.t())) == state_dict_digest(dict(w=tensor.t().contiguous()))
    assert state_dict_digest(dict(w=torch.ones(2, dtype=torch.bfloat16)))
