# SPDX-License-Identifier: Apache-2.0
"""Charts, units and the console table."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udatools.visualization.charts import Point, class_bars, learning_curve, nice_ticks, spread, value_bars
from udatools.visualization.tables import common_suffix, format_results_table, human_count, human_seconds, percent, text_table

EVIL = '<script>alert("1")</script> & co'


@given(st.floats(0, 100), st.floats(0.01, 100), st.integers(1, 8))
def test_ticks_are_round_and_cover(low, span, count):
    ticks = nice_ticks(low, low + span, count)
    step = ticks[1] - ticks[0]
    assert ticks[0] <= low + 1e-6 and ticks[-1] >= low + span - 1e-6
    assert ticks[0] > low - step - 1e-6 and ticks[-1] < low + span + step + 1e-6
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-6)
    assert min(abs(mantissa - digit) for digit in (1, 2, 5, 10)) < 1e-5
    assert len(ticks) <= count + 3


@given(st.lists(st.floats(0, 100), max_size=7))
def test_labels_do_not_overlap_and_keep_their_order(wanted):
    placed = spread(wanted, 10, 0, 100)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    for first, second in zip(order, order[1:]):
        assert placed[second] - placed[first] >= 10 - 1e-9
    assert all(-1e-9 <= position <= 100 + 1e-9 for position in placed)
    if all(abs(wanted[i] - wanted[j]) >= 10 for i in order for j in order if i != j):
        assert placed == pytest.approx(wanted)


def texts(svg: str) -> list[str]:
    return [''.join(node.itertext()) for node in ElementTree.fromstring(svg).iter('text')]


@pytest.mark.parametrize('width', [350, 980])
def test_curve_shows_points_and_baselines(width):
    points = [
        Point('source', 0, 31.21, main=False),
        Point('warmup', 0, 36.4),
        Point('round 1', 0.01, 48.3),
        Point('round 2', 0.02, 51.6),
        Point('broken', 0.01, math.nan),
    ]
    svg = learning_curve(points, {'supervised': 53.5, 'source only': 31.2, 'no value': math.nan}, width, 380)
    shown = ' '.join(texts(svg))
    for value in ('31.2', '36.4', '48.3', '51.6', '53.5', 'supervised', 'source only', 'round 1', '1%', '2%'):
        assert value in shown
    assert 'broken' not in svg and 'no value' not in svg and 'nan' not in svg
    root = ElementTree.fromstring(svg)
    dots = [(float(node.get('cx')), float(node.get('cy'))) for node in root.iter('circle')]
    assert len(dots) == 4
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = dots
    assert x0 == x1 and x2 - x1 == pytest.approx(x3 - x2, abs=0.2) and y0 > y1 > y2 > y3  # linear, upwards
    assert (y1 - y2) / (y2 - y3) == pytest.approx((48.3 - 36.4) / (51.6 - 48.3), abs=0.2)
    line_y = {
        node.find('title').text: float(node.get('y1')) for node in root.iter('line') if node.get('class') == 'baseline'
    }
    assert line_y['supervised: 53.5'] < y3 and line_y['source only: 31.2'] == pytest.approx(y0, abs=0.2)
    for node in root.iter('text'):
        assert 0 <= float(node.get('x')) <= width and 0 <= float(node.get('y')) <= 380


def test_charts_escape_names():
    for svg in (
        learning_curve([Point(EVIL, 0.1, 5.0), Point(EVIL, 0, 4.0)], {EVIL: 4.0}),
        value_bars({EVIL: 3.0}),
        class_bars([(1, {EVIL: 1.0})], {EVIL: 0.5}, [EVIL]),
    ):
        assert '<script' not in svg and '&lt;script' in svg
        ElementTree.fromstring(svg)


def test_charts_without_content():
    assert learning_curve([], {}) == '' and value_bars({}) == '' and class_bars([], {}, ['a']) == ''
    assert 'a' in texts(class_bars([(1, {})], {}, ['a']))


def test_class_bars_are_in_proportion():
    svg = class_bars(
        [(1, {'road': 0.4, 'car': 0.6}), (2, {'road': 0.2, 'car': 0.8})], {'road': 0.8, 'car': 0.1}, ['road', 'car']
    )
    root = ElementTree.fromstring(svg)
    bars = {node.find('title').text: float(node.get('width')) for node in root.iter('rect')}
    assert bars['road, round 1: 40.00% of the answers'] == pytest.approx(
        bars['car, round 2: 80.00% of the answers'] / 2, abs=0.1
    )
    assert len(bars) == 4
    assert {'×0.2', '×8.0'} <= set(texts(svg))  # 0.2 / 0.8 = 0.25, 0.8 / 0.1


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [
        (0, '0 s'),
        (0.25, '0.2 s'),
        (59.4, '59 s'),
        (59.6, '1 min'),
        (61, '1 min 1 s'),
        (3600, '1 h'),
        (5400, '1 h 30 min'),
        (86400 * 30, '720 h'),
        (-1, '–'),
        (86400 * 365, '8,760 h'),
        (math.nan, '–'),
    ],
)
def test_seconds(seconds, text):
    assert human_seconds(seconds) == text


@pytest.mark.parametrize(
    ('number', 'text'),
    [
        (0, '0'),
        (418, '418'),
        (99999, '99,999'),
        (100000, '100 k'),
        (409600, '410 k'),
        (999499, '999 k'),
        (999999, '1.00 M'),
        (12345678, '12.3 M'),
        (6239027200, '6.24 G'),
    ],
)
def test_counts(number, text):
    assert human_count(number) == text


@pytest.mark.parametrize(
    ('portion', 'text'), [(0, '0%'), (1, '100%'), (0.02268, '2.27%'), (0.5, '50.0%'), (1e-5, '0.0010%'), (0.000095, '0.0095%'),
                          (0.0001, '0.01%'), (3e-9, '0.00000030%')]
)
def test_percent(portion, text):
    assert percent(portion) == text


@pytest.mark.parametrize(
    ('names', 'suffix'),
    [
        (['spl_toy', 'source_only_toy'], '_toy'),
        (['spl_gta2cs', 'spl_toy'], ''),
        (['a_b_c', 'x_b_c'], '_b_c'),
        (['one_toy'], ''),
        (['toy', 'spl_toy'], ''),
        ([], ''),
        (['a_toy', 'a_toy'], '_toy'),
    ],
)
def test_common_suffix(names, suffix):
    assert common_suffix(names) == suffix


def test_text_table_is_aligned():
    assert text_table(['name', 'x'], [['a', '1'], None, ['long name', '22.5']]) == (
        'name          x\n---------------\na             1\n---------------\nlong name  22.5'
    )


def test_console_table(toy_results):
    lines = format_results_table(toy_results).splitlines()
    assert lines[0] == 'spl_toy (protocol toy6, seed 0)'
    assert re.split(r'\s{2,}', lines[1]) == ['stage', 'mIoU', 'labelled', 'pixels', 'points', 'labelling time']
    assert re.split(r'\s{2,}', lines[-5]) == ['round3_main', '52.37', '2.27%', '418', '0', '1 h']
    assert re.split(r'\s{2,}', lines[-1])[:2] == ['supervised_toy (seed 0)', '53.50']
    assert len({len(line) for line in lines[2:3] + lines[-4:-3]}) == 1


def test_console_table_of_little():
    assert format_results_table({}).splitlines()[0] == 'run'
    text = format_results_table({'name': 'x', 'stages': [{'name': 'a', 'metrics': {'mIoU': None}}]})
    assert re.split(r'\s{2,}', text.splitlines()[-1]) == ['a', 'n/a', '0%', '0', '0', '-']
