# SPDX-License-Identifier: Apache-2.0
"""The page of a campaign: its numbers are there, it is self-contained, and pieces that are missing are left out."""
import hashlib
import json
import re
import shutil

import numpy as np
import pytest
from html_page import Page
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_campaign import KEYS, SIZE, baseline, toy_campaign

from udatools.visualization.campaign import load_campaigns, write_campaign
from udatools.visualization.campaign.outlook import Verdict, densest_window, look_back, rank


def headings(page):
    return re.findall(r'<h2>(.*?)</h2>', page.html)


def page_of(*runs, **options):
    path, problems = write_campaign(list(runs), **{'clicks': 0, **options})
    return Page(path.read_text(encoding='utf-8')), problems


def contents(root):
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob('*')) if path.is_file()}


def test_numbers_of_one_campaign(tmp_path):
    run, supervised = toy_campaign(tmp_path / 'run'), baseline(tmp_path / 'sup', 'supervised_toy', 40.0)
    page, problems = page_of(run, supervised)
    assert problems == {}
    assert headings(page) == ['Cost against accuracy', 'Classes of the selected pixels', 'Rounds', 'What each class gained',
                               'Worst images']
    for text in ('mIoU (toy4) at the end 36.0', 'gained by labels +16.0 points, from 20.0', 'of full labelling 90.0%',
                 'labelling time 5 min 30 s', 'clicks 16', 'answered pixels 92 3.99% of all', 'Answered by ana and bo',
                 # round, asked, units, images, answered, void, rejected, conflicts, clicks, time, mIoU, gain
                 '1 72 3 3 72 0 1 12 10 3 min 30 s 30.0 +10.0', '2 20 4 2 20 4 1 0 6 2 min 36.0 +6.0',
                 'all 92 7 3 92 4 2 12 16 5 min 30 s 36.0 +16.0', 'full labelling – 4 h 30 min – – 2,304 100% – 40.0 100.0%',
                 # class, pixels, share of 88, first, last, gain
                 'car 48 54.5% 10.0 45.0 +35.0', 'pole 0 0% 10.0 4.0 -6.0', 'Most: car (+35.0); least: pole (-6.0)'):
        assert text in page.text, text
    # 32, 48, 8 of 88 over four classes; 24 and 48 of 72 in the first step.
    share = np.array([32, 48, 8]) / 88
    for value in (-(share * np.log(share)).sum() / np.log(4), -(np.log(1 / 3) / 3 + 2 * np.log(2 / 3) / 3) / np.log(4)):
        assert f' {value:.2f} ' in page.text


def test_nothing_of_the_run_changes_and_the_page_is_self_contained(tmp_path):
    run = toy_campaign(tmp_path / 'run')
    before = contents(run)
    page, _ = page_of(run, out_dir=tmp_path / 'page')
    assert contents(run) == before
    for tag, attributes in page.tags:
        assert tag not in ('script', 'link', 'iframe', 'object')
        assert attributes.get('src', 'data:image/png').startswith('data:image/png')
        assert attributes.get('href', '#').startswith('#')
    assert not re.search(r'https?://|url\(|@import', page.html)
    assert page_of(run)[0].html == page.html and (run / 'campaign' / 'index.html').is_file()


def test_several_campaigns_are_named_and_linked(tmp_path):
    runs = [toy_campaign(tmp_path / 'ppl'), toy_campaign(tmp_path / 'x<y', 'x<y_toy', kind='points')]
    page, _ = page_of(*runs)
    links = {attributes['href'] for tag, attributes in page.tags if tag == 'a' and 'href' in attributes}
    ids = {'#' + attributes['id'] for tag, attributes in page.tags if tag == 'a' and 'id' in attributes}
    assert links == ids and len(links) == 2
    assert 'Rounds: ppl' in headings(page) and 'Rounds: x&lt;y' in headings(page)
    assert 'Units are segments' in page.text and 'Units are points' in page.text


def test_files_that_are_missing_leave_their_section_out(tmp_path):
    run = toy_campaign(tmp_path / 'run')
    shutil.rmtree(run / 'requests')
    content = json.loads((run / 'results.json').read_text(encoding='utf-8'))
    content['stages'] = content['stages'][:1]
    (run / 'results.json').write_text(json.dumps(content), encoding='utf-8')
    page, _ = page_of(run)
    assert headings(page) == ['Classes of the selected pixels', 'Rounds']
    assert '1 0 0 0 72 0 1 12 10 3 min 30 s – –' in page.text


def test_without_models_it_says_why_and_judges_by_what_was_stored(tmp_path):
    page, problems = page_of(toy_campaign(tmp_path / 'run'), clicks=1000)
    assert list(problems) == ['ppl_toy'] and 'config.py does not exist' in problems['ppl_toy']
    assert 'What it would ask next' in headings(page) and 'config.py does not exist' in page.text
    assert 'the model that asked was most often wrong' in page.text


def test_negative_clicks_are_refused(tmp_path):
    with pytest.raises(ValueError, match='clicks is -1'):
        write_campaign([toy_campaign(tmp_path / 'run')], clicks=-1)


# -- worst images --------------------------------------------------------------------------------------------------


def test_worst_images_by_stored_predictions(tmp_path):
    (campaign, ), _ = load_campaigns([toy_campaign(tmp_path / 'run')])
    outlook = look_back(campaign)
    # The stored predictions say road: 16 of 24 are car in round 1; 4 of 8 sky in round 2, where the void does not count
    # and 8 answers are too few to be ranked.
    assert [(v.key, v.round, v.wrong, v.answered) for v in outlook.worst] == [(key, 1, 16, 24) for key in KEYS]
    assert not outlook.predicted
    picture = outlook.worst[0].picture
    assert picture.image.shape == (*SIZE, 3) and picture.mask.sum() == 16
    assert (picture.answer[picture.mask] == 1).all() and (picture.answer != 255).sum() == 24


def test_ranking_is_by_share_then_number_then_name():
    verdicts = [Verdict('few', 9, 9), Verdict('b', 20, 10), Verdict('a', 20, 10), Verdict('big', 40, 20), Verdict('best', 50, 0),
                Verdict('worst', 10, 9)]
    assert [v.key for v in rank(verdicts, 9)] == ['worst', 'big', 'a', 'b']
    assert [v.key for v in rank(verdicts, 2)] == ['worst', 'big']
    assert [v.key for v in rank(verdicts[:1], 2)] == ['few'] and rank([], 3) == []


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.floats(0.1, 1.0), st.integers(0, 99))
def test_densest_window_by_brute_force(height, width, share, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.3
    rows, columns = densest_window(mask, share)
    h, w = max(1, round(height * share)), max(1, round(width * share))
    assert rows.stop - rows.start == h and columns.stop - columns.start == w and rows.stop <= height and columns.stop <= width
    counts = {(y, x): mask[y:y + h, x:x + w].sum() for y in range(height - h + 1) for x in range(width - w + 1)}
    assert (rows.start, columns.start) == min(counts, key=lambda place: (-counts[place], place))
