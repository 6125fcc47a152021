# SPDX-License-Identifier: Apache-2.0
"""Configs inside checkpoints: what mmengine writes is read back, anything that would run is refused."""
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from shrink import CONFIGS, config_id

from udatools.engine.config_text import read_config_text

NAMES = st.sampled_from(['a', 'b', 'c_d', '_e'])
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8))
VALUES = st.recursive(LEAVES, lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple),
    st.dictionaries(NAMES | st.just('a.b'), inner, max_size=3)), max_leaves=12)
# One of each kind of stages, hooks and networks.
KINDS = [path for path in CONFIGS if path.stem.startswith(('spl_', 'vat_vst_', 'daformer_', 'lse_'))]


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_what_python_writes_is_read_back(values):
    text = ''.join(f'{name} = {value!r}\n' for name, value in values.items())
    assert read_config_text(text) == values


@pytest.mark.parametrize('path', KINDS, ids=config_id)
def test_configs_as_mmengine_writes_them(path):
    cfg = Config.fromfile(path)
    assert read_config_text(cfg.pretty_text) == Config.fromstring(cfg.pretty_text, '.py').to_dict()


def test_numbers_that_have_names():
    found = read_config_text('"""A docstring."""\na = [inf, -inf]\nb = dict(c=nan, d={1, 2})\n')
    assert found['a'] == [math.inf, -math.inf] and math.isnan(found['b']['c']) and found['b']['d'] == {1, 2}


@pytest.mark.parametrize('text', [
    'import os', 'a = __import__("os").system("true")', 'a = dict(b=open("x"))', 'a = [i for i in (1, 2)]', 'a = dict(**b)',
    'a, b = 1, 2', 'a.b = 1', 'print("x")', 'a = dict([("b", 1)])', 'a = {**b}', 'a = -"x"', 'a = b', 'a = f"{1}"'])
def test_code_is_refused(text):
    with pytest.raises(ValueError, match='line 1 of the config inside is code'):
        read_config_text(text)


def test_text_that_is_no_python():
    with pytest.raises(ValueError, match='is no config'):
        read_config_text('a = (')
