# SPDX-License-Identifier: Apache-2.0
"""The comparison table, by hand."""
import pytest

from udatools.evaluation.comparison import comparison_rows, format_markdown, update_between_markers


def result(seed, protocol='p', **stages):
    return {'seed': seed, 'protocol': protocol, 'stages': [
        {'name': name, 'metrics': {'mIoU': value}, 'labelled': {'portion': share}} for name, (value, share) in stages.items()]}


RUNS = {
    'spl_x': [result(0, warmup=(20.0, 0.0), main=(48.0, 0.02)), result(1, warmup=(30.0, 0.0), main=(45.0, 0.024))],
    'supervised_x': [result(0, train=(50.0, 0.0)), result(1, train=(60.0, 0.0))],
}


def test_rows_by_hand():
    warmup, main, supervised = comparison_rows(RUNS)
    assert (warmup['mIoU'], warmup['std']) == (25.0, pytest.approx(7.0710678))
    assert main['labelled'] == pytest.approx(2.2)
    assert main['relative'] == pytest.approx((96.0 + 75.0) / 2)  # of the same seed, then the mean
    assert supervised['relative'] == 100.0
    assert main['values'] == {0: 48.0, 1: 45.0}


def test_one_seed_has_no_deviation_and_no_reference_no_ratio():
    row, = comparison_rows({'a': [result(3, train=(10.0, 0.0))]})
    assert row['std'] is None and row['relative'] is None
    assert '| a | train | 1 | 10.0 | 10.0 | - | - |' in format_markdown([row])


def test_protocols_are_not_mixed():
    with pytest.raises(ValueError, match='p, q'):
        comparison_rows({'a': [result(0, train=(1.0, 0.0))], 'b': [result(0, 'q', train=(1.0, 0.0))]})


def test_markers(tmp_path):
    path = tmp_path / 'README.md'
    path.write_text('a\n<!-- results:x -->\nold\n<!-- /results -->\nb\n')
    update_between_markers(path, 'x', 'new')
    update_between_markers(path, 'x', 'newer')
    assert path.read_text() == 'a\n<!-- results:x -->\nnewer\n<!-- /results -->\nb\n'
    with pytest.raises(ValueError, match='results:y'):
        update_between_markers(path, 'y', 'new')
    assert 'newer' in path.read_text()
