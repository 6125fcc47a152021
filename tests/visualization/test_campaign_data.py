# SPDX-License-Identifier: Apache-2.0
"""What the page of a campaign says about rounds, classes and costs, counted by hand, and its charts."""
import json
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_campaign import CLASSES, PALETTE, baseline, toy_campaign, write_costs

from udatools.visualization.campaign import charts, load_campaigns
from udatools.visualization.campaign.charts import MixRow, Series

# -- loading -------------------------------------------------------------------------------------------------------


def test_rounds_by_hand(tmp_path):
    (campaign, ), baselines = load_campaigns([toy_campaign(tmp_path / 'run')])
    first, second = campaign.rounds
    assert baselines == []
    # Three blocks of 4 x 6 with two columns of road; then a column of sky and one of road that ends in void, twice.
    assert (first.asked, first.units, first.images) == (72, 3, 3)
    assert (second.asked, second.units, second.images) == (20, 4, 2)
    assert first.classes == dict(road=24, car=48, sky=0, pole=0)
    assert second.classes == dict(road=8, car=0, sky=8, pole=0)
    assert (first.spent['void'], second.spent['void']) == (0, 4)
    assert (first.spent['clicks'], first.spent['seconds']) == (10, 210.0)
    assert (first.rejected, first.conflicts, second.rejected, second.conflicts) == (1, 12, 1, 0)
    assert (first.people, second.people) == (['ana', 'bo'], ['ana'])
    assert (first.miou, first.gain, second.miou, second.gain) == (30.0, 10.0, 36.0, 6.0)
    assert campaign.classes == dict(road=32, car=48, sky=8, pole=0)
    assert campaign.images == 3 and campaign.total_pixels == 3 * 24 * 32
    assert campaign.total('pixels') == 92 and campaign.full_seconds == 3 * 5400
    assert campaign.curve('seconds') == [(1, 210.0, 30.0), (2, 330.0, 36.0)]
    assert campaign.curve('clicks') == [(1, 10.0, 30.0), (2, 16.0, 36.0)]


def test_gains_are_from_the_first_to_the_last_stage(tmp_path):
    (campaign, ), _ = load_campaigns([toy_campaign(tmp_path / 'run')])
    assert [(g.name, g.pixels, g.gain) for g in campaign.gains()] == [('road', 32, 15.0), ('car', 48, 35.0),
                                                                     ('sky', 8, 20.0), ('pole', 0, -6.0)]


def test_a_round_that_waits_is_there_without_a_result(tmp_path):
    run = toy_campaign(tmp_path / 'run')
    content = json.loads((run / 'results.json').read_text(encoding='utf-8'))
    content['stages'].pop()
    (run / 'results.json').write_text(json.dumps(content), encoding='utf-8')
    (campaign, ), _ = load_campaigns([run])
    assert math.isnan(campaign.rounds[1].miou) and math.isnan(campaign.rounds[1].gain)
    assert campaign.rounds[1].spent['pixels'] == 20 and len(campaign.curve('pixels')) == 1


def test_runs_without_a_ledger_are_baselines_and_names_lose_their_common_ending(tmp_path):
    runs = [toy_campaign(tmp_path / 'ppl'), baseline(tmp_path / 'sup', 'supervised_toy', 40.0),
            toy_campaign(tmp_path / 'spl', 'spl_toy'), toy_campaign(tmp_path / 'spl1', 'spl_toy', seed=1),
            baseline(tmp_path / 'src', 'source_only_toy', 20.0)]
    campaigns, baselines = load_campaigns(runs)
    assert [campaign.label for campaign in campaigns] == ['ppl', 'spl, seed 0', 'spl, seed 1']
    assert [(b.name, b.miou) for b in baselines] == [('supervised', 40.0), ('source_only', 20.0)]
    twice, _ = load_campaigns([runs[0], runs[0]])
    assert all(str(runs[0]) in campaign.label for campaign in twice)


def test_without_a_ledger_it_says_what_it_needs(tmp_path):
    with pytest.raises(FileNotFoundError, match='ledger.sqlite; expected the work directory of a run that asks'):
        load_campaigns([baseline(tmp_path / 'sup', 'supervised_toy', 40.0)])


# -- charts --------------------------------------------------------------------------------------------------------


def parsed(drawing):
    return ElementTree.fromstring(drawing)


def rects(drawing):
    return [(float(r.get('x')), float(r.get('width')), r.find('title').text) for r in parsed(drawing).iter('rect')]


def test_bars_of_the_class_mix_are_as_long_as_their_shares():
    rows = [MixRow('ppl', 'step 1', dict(road=0.5, car=0.25, sky=0.25), 0.75),
            MixRow('all', 'predicted', dict(road=1.0), math.nan, muted=True)]
    drawn = charts.class_mix(rows, CLASSES, PALETTE, 760)
    found = rects(drawn)
    assert [title for *_, title in found] == ['ppl step 1: road 50.0%', 'ppl step 1: car 25.0%', 'ppl step 1: sky 25.0%',
                                              'all predicted: road 100.0%']
    (x0, road, _), (x1, car, _), (x2, sky, _), (_, whole, _) = found
    assert [2 * car, 2 * sky, whole / 2] == pytest.approx([road] * 3, abs=0.02)
    assert x1 == pytest.approx(x0 + road, abs=0.02) and x2 == pytest.approx(x1 + car, abs=0.02)
    labels = [t.text for t in parsed(drawn).iter('text')]
    assert '0.75' in labels and '–' in labels and charts.class_mix([], CLASSES, PALETTE) == ''


def dots(drawing):
    found = {}
    for shape in parsed(drawing).iter():
        if 'dot' in (shape.get('class') or '').split() and shape.find('title') is not None:
            place = shape.get('cx'), shape.get('cy')
            if shape.tag == 'rect':
                place = float(shape.get('x')) + 4.5, float(shape.get('y')) + 4.5
            elif shape.tag == 'path':
                x, y = re.match(r'M([\d.]+),([\d.]+)', shape.get('d')).groups()
                place = float(x), float(y) + (7 if 'full' in shape.get('class') else 6)
            found[shape.find('title').text] = tuple(float(v) for v in place)
    return found


def test_costs_are_those_of_the_config(tmp_path):
    run = toy_campaign(tmp_path / 'run')
    write_costs(run, image_seconds=600.0)
    (campaign, ), _ = load_campaigns([run])
    assert campaign.full_seconds == 3 * 600 and campaign.costs.point_seconds == 75 / 40


def test_cost_axis_is_logarithmic_and_what_costs_nothing_stands_left_of_it():
    series = [Series('ppl', [('round 1', 1.0, 40.0), ('round 2', 10.0, 50.0)], start=30.0),
              Series('spl', [('round 1', 100.0, 60.0)]), Series('full labelling', [('every image', 1000.0, 62.0)], full=True)]
    drawn = charts.cost_curve(series, {'source only': 20.0}, 'hours', 760)
    at = dots(drawn)
    x = [at[f'{name} hours'][0] for name in ('ppl, round 1: mIoU 40.0 at 1', 'ppl, round 2: mIoU 50.0 at 10',
                                            'spl, round 1: mIoU 60.0 at 100', 'full labelling, every image: mIoU 62.0 at 1,000')]
    assert np.diff(x) == pytest.approx([x[1] - x[0]] * 3, abs=0.2) and x[1] > x[0]
    assert at['ppl, before any label: 30.0'][0] < x[0]
    y = [at[f'ppl, round {n}: mIoU {v}.0 at {c} hours'][1] for n, v, c in ((1, 40, 1), (2, 50, 10))]
    assert at['ppl, before any label: 30.0'][1] - y[0] == pytest.approx(y[0] - y[1], abs=0.2)
    assert 'source only: 20.0' in drawn and len(at) == 5
    assert charts.cost_curve([], {'source only': 20.0}, 'hours') == ''


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-3, 1e9), st.floats(1.0, 1e6))
def test_log_ticks_cover_the_range_with_few_numbers(low, factor):
    high = low * factor
    ticks = charts.log_ticks(low, high)
    assert ticks == sorted(set(ticks)) and len(ticks) >= 1
    assert ticks[0] <= low * (1 + 1e-8) and ticks[-1] >= high * (1 - 1e-8)
    assert len(ticks) <= 8 or ticks[1] / ticks[0] == pytest.approx(10)


def test_gains_stand_where_their_numbers_say_and_labels_do_not_overlap():
    points = [('road', 100.0, 10.0, (1, 2, 3)), ('car', 1000.0, 20.0, (4, 5, 6)), ('bus', 10000.0, -10.0, (7, 8, 9)),
              ('pole', 0.0, 5.0, (0, 0, 0)), ('unknown', 10.0, math.nan, (0, 0, 0))]
    drawn = charts.gain_scatter(points, 760)
    circles = {c.find('title').text.split(':')[0]: (float(c.get('cx')), float(c.get('cy'))) for c in parsed(drawn).iter('circle')}
    assert set(circles) == {'road', 'car', 'bus', 'pole'}
    assert circles['car'][0] - circles['road'][0] == pytest.approx(circles['bus'][0] - circles['car'][0], abs=0.2)
    assert circles['pole'][0] < circles['road'][0]
    assert circles['bus'][1] - circles['road'][1] == pytest.approx(2 * (circles['road'][1] - circles['car'][1]), abs=0.3)
    crowd = [(f'class {i}', 1000.0 + i, 10.0, (0, 0, 0)) for i in range(12)]
    drawn = charts.gain_scatter(crowd, 760)
    places = [(float(t.get('x')), float(t.get('y'))) for t in parsed(drawn).iter('text') if (t.text or '').startswith('class ')]
    assert 1 <= len(places) < 12
    assert all(abs(a[0] - b[0]) > 40 or abs(a[1] - b[1]) >= 14 for i, a in enumerate(places) for b in places[:i])
    assert charts.gain_scatter([], 760) == ''
