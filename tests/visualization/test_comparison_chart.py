# SPDX-License-Identifier: Apache-2.0
"""The chart of a comparison."""
import re

import cv2
import pytest

from udatools.visualization.comparison_chart import write_comparison_chart

ROWS = [dict(run=f'{name}_x', method=name, protocol='viper15', stage='train', mIoU=value, std=std)
        for name, value, std in (('source_only', 20.0, 1.0), ('best', 44.5, None), ('supervised', 40.0, 0.5))]


def test_png_is_a_picture_and_repeats_to_the_byte(tmp_path):
    first = write_comparison_chart(ROWS, tmp_path / 'a.png', title='pair').read_bytes()
    assert cv2.imread(str(tmp_path / 'a.png')).std() > 10
    assert write_comparison_chart(ROWS, tmp_path / 'b.png', title='pair').read_bytes() == first
    assert write_comparison_chart(ROWS[:2], tmp_path / 'c.png').read_bytes() != first


def test_best_method_is_on_top(tmp_path):
    text = write_comparison_chart(ROWS, tmp_path / 'a.svg').read_text()
    names = re.findall(r'<!-- (source_only|best|supervised) -->', text)  # of the tick labels, from the bottom
    assert names == ['source_only', 'supervised', 'best']
    assert all(f'<!-- {value} -->' in text for value in ('20.0', '44.5', '40.0'))


def test_the_axis_names_the_protocol(tmp_path):
    assert '<!-- mIoU (viper15) on the target, % -->' in write_comparison_chart(ROWS, tmp_path / 'a.svg').read_text()


def test_two_stages_of_a_method_are_told_apart(tmp_path):
    rows = [dict(ROWS[1], stage='first'), dict(ROWS[1], stage='second', mIoU=50.0)]
    text = write_comparison_chart(rows, tmp_path / 'a.svg').read_text()
    assert '<!-- best, first -->' in text and '<!-- best, second -->' in text


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match='no rows'):
        write_comparison_chart([], tmp_path / 'a.png')
    with pytest.raises(ValueError, match='.gif'):
        write_comparison_chart(ROWS, tmp_path / 'a.gif')
