# SPDX-License-Identifier: Apache-2.0
"""The analysis page: its numbers against slow counts, one inference a model, target labels only where they are asked for."""
import json
import re
import shutil

import cv2
import numpy as np
import pytest
import torch
from annotator_browser import ARGUMENTS, find_chromium
from html_page import Page
from toy_run import CLASSES, toy_run, truth_of

from udatools.engine.frame_predictor import FramePredictor, load_frame_predictor
from udatools.visualization.analysis import write_analysis
from udatools.visualization.analysis.charts import Line, confusion_chart, line_chart
from udatools.visualization.analysis.mistakes import error_cells
from udatools.visualization.analysis.validation import CACHE, Validator
from udatools.visualization.run_data import pseudo_label_folders


@pytest.fixture(scope='module')
def runs(tiny_data, tmp_path_factory):
    """Two seeds of a method and a run that has just begun another one."""
    root = tmp_path_factory.mktemp('analysis')
    return [toy_run(root / 'seed_0', tiny_data), toy_run(root / 'seed_1', tiny_data, seed=1, shift=2.0),
            toy_run(root / 'running', tiny_data, name='<i>ast_toy', done=1)]


def page_of(runs, folder, **options):
    path, problems = write_analysis(runs, folder / 'page.html', device='cpu', **options)
    return Page(path.read_text(encoding='utf-8')), problems


def headings(page):
    return re.findall(r'<h2>(.*?)</h2>', page.html)


def test_everything_about_two_seeds_and_a_running_run(runs, tmp_path):
    page, problems = page_of(runs, tmp_path, truth=True)
    assert problems == {}
    assert headings(page) == ['Runs', 'Learning curve', 'Losses', 'Classes', 'Confusions: cbst', 'Worst images: cbst',
                              'Confusions: &lt;i&gt;ast', 'Worst images: &lt;i&gt;ast', 'Pseudo-labels']
    for words in ('mIoU on the target 41.0 ± 1.4 cbst, seeds 0, 1', 'ahead of the next +11.0',
                  'cbst 41.0 ± 1.4 40.0 / 42.0 3 of 3 300',
                  'ast 30.0 30.0 1 of 3, round1 main running (50 of 100) 150', 'protocol cityscapes19',
                  'road 32.0 21.0 -11.0', 'source round1 main round2 main gain road 22.0 26.0 32.0 +10.0',
                  'stages/00_source/iter_100.pth on the 2 validation images'):
        assert words in page.text, words
    for tag, attributes in page.tags:
        assert tag not in ('script', 'link', 'iframe', 'object', 'i') or attributes.get('class', '').startswith('swatch')
        assert attributes.get('src', 'data:image/png').startswith('data:image/png')
    assert not re.search(r'https?://|url\(|@import', page.html)


def test_confusions_are_those_of_the_predictions(runs, tmp_path):
    run = runs[0]
    validator = Validator(run, device='cpu')
    found = validator.run()
    expected = np.zeros((19, 19), np.int64)
    for key in found.keys:
        predictor = load_frame_predictor(run / 'final' / 'model.pth', device='cpu')
        predicted = predictor.predict([cv2.imread(validator.dataset.image_path(key))])[0].label
        truth = validator.truth(key)
        for true, guess in zip(truth.ravel(), predicted.ravel()):
            if true != 255:
                expected[true, guess] += 1
    assert np.array_equal(found.confusions.sum(0).numpy(), expected) and expected.sum() > 0
    assert torch.equal(found.reported()[:, :19], found.confusions.sum(0))
    hit, union = expected.diagonal(), expected.sum(0) + expected.sum(1) - expected.diagonal()
    assert found.miou() == pytest.approx(100 * np.mean(hit[union > 0] / union[union > 0]))
    # The page: row road, column of the largest confusion of it.
    page, _ = page_of([run], tmp_path, worst=1)
    worst = min(found.image_scores().items(), key=lambda item: (item[1], item[0]))
    assert re.search(rf'mIoU {worst[1]:.1f} +{worst[0]} ', page.text) and page.html.count('<figcaption>wrong') == 1
    wrong = expected[0].copy()
    wrong[0] = 0
    title = f'road as {CLASSES.classes[int(wrong.argmax())]}: {wrong.max():,} of {expected[0].sum():,} pixels'
    assert title in page.html


def test_a_model_sees_the_validation_set_once(tiny_data, tmp_path, monkeypatch):
    run = toy_run(tmp_path / 'run', tiny_data)
    calls = []
    plain = FramePredictor.logits
    monkeypatch.setattr(FramePredictor, 'logits', lambda self, images: calls.append(len(images)) or plain(self, images))
    first = Validator(run, device='cpu').run()
    assert len(calls) == 2
    again = Validator(run, device='cpu').run()
    assert len(calls) == 2 and torch.equal(first.confusions, again.confusions)
    (run / CACHE).write_bytes((run / CACHE).read_bytes()[:100])  # damaged
    Validator(run, device='cpu').run()
    assert len(calls) == 4
    state = torch.load(run / 'final' / 'model.pth', weights_only=False)
    state['state_dict']['decode_head.conv_seg.bias' if 'decode_head.conv_seg.bias' in state['state_dict'] else
                        next(name for name in state['state_dict'] if name.startswith('decode_head'))] += 1.0
    torch.save(state, run / 'final' / 'model.pth')
    Validator(run, device='cpu').run()
    assert len(calls) == 6  # other weights


def test_precision_of_pseudo_labels_by_hand(runs, tmp_path):
    truth = truth_of(runs[0])
    page, _ = page_of(runs[:2], tmp_path, predict=False, truth=True)
    right, kept, road = {}, {}, {}
    for number in (1, 2):
        # Left `number` quarters are right, the next one is called road; both seeds have the same labels.
        pairs = [(label[:, :16 * number], label[:, 16 * number:16 * (number + 1)]) for label in truth.values()]
        good = sum(int((known != 255).sum()) for known, _ in pairs) + sum(int((guess == 0).sum()) for _, guess in pairs)
        everything = sum(int((known != 255).sum()) + int((guess != 255).sum()) for known, guess in pairs)
        hits = sum(int((known == 0).sum()) + int((guess == 0).sum()) for known, guess in pairs)
        called = sum(int((known == 0).sum()) + int((guess != 255).sum()) for known, guess in pairs)
        right[number], road[number] = 100 * good / everything, 100 * hits / called
        content = json.loads((runs[0] / 'pseudo_labels' / f'round_{number}' / 'coverage.json').read_text())
        kept[number] = 100 * content['kept_share']
    assert f'road 10.0 20.0 {road[1]:.1f} {road[2]:.1f}' in page.text
    assert f'all pixels {kept[1]:.1f} {kept[2]:.1f} {right[1]:.1f} {right[2]:.1f}' in page.text
    assert 'train – –' in page.text  # predicted nowhere: neither a share nor an error
    assert 'opened for this page alone' in page.text


def test_labels_of_a_second_phase_and_of_a_stage_that_is_no_round(runs, tmp_path):
    run = shutil.copytree(runs[0], tmp_path / 'run')
    (run / 'pseudo_labels' / 'round_2').rename(run / 'pseudo_labels' / 'second_phase_1')
    folders = [run / 'pseudo_labels' / name for name in ('round_1', 'second_phase_1')]
    assert pseudo_label_folders(run) == dict(enumerate(folders, 1))
    config = (run / 'config.py').read_text()
    hooks = [dict(type='PseudoLabelHook', dataset='{cfg:target_images}', out_dir='{work_dir}/pseudo_labels/' + path.name)
             for path in folders]
    (run / 'config.py').write_text(config + '\nstages = ' + repr(
        [dict(name=f'stage{i}', config=dict(custom_hooks=[hook])) for i, hook in enumerate(hooks)]) + '\n')
    before, _ = page_of(runs[:1], tmp_path / 'before', predict=False, truth=True)
    after, problems = page_of([run], tmp_path / 'after', predict=False, truth=True)
    rows = re.findall(r'all pixels [\d. ]+', before.text)
    assert rows and rows == re.findall(r'all pixels [\d. ]+', after.text) and not problems


def test_target_labels_stay_closed_without_truth(runs, tmp_path, monkeypatch):
    opened = []
    from udatools.datasets.domain_dataset import DomainDataset
    plain = DomainDataset.label_path
    monkeypatch.setattr(DomainDataset, 'label_path', lambda self, key: opened.append(plain(self, key)) or opened[-1])
    page, _ = page_of(runs[:1], tmp_path)
    assert opened and not [path for path in opened if '/train/' in path]
    assert '--truth opens it' in page.text and 'road 10.0 20.0' in page.text


def test_what_cannot_be_used_is_said_and_the_rest_is_shown(tiny_data, tmp_path):
    run = toy_run(tmp_path / 'run', tiny_data)
    (run / 'config.py').unlink()
    page, problems = page_of([run], tmp_path, truth=True)
    assert 'Confusions: cbst_toy' not in headings(page) and headings(page)[-1] == 'Pseudo-labels'
    assert 'no confusions and worst images' in problems['cbst_toy'] and 'pseudo-labels are not scored' in problems['cbst_toy']
    for options, message in ((dict(worst=-1), 'worst is -1'), ):
        with pytest.raises(ValueError, match=message):
            write_analysis([run], tmp_path / 'page.html', **options)
    with pytest.raises(ValueError, match='ends with .html'):
        write_analysis([run], tmp_path / 'page')


def test_chart_of_curves():
    line = Line('a', [[(50, 1.0, 0.5, 2.0), (100, 2.0, 2.0, 2.0)], [(200, 4.0, 4.0, 4.0)]])
    drawn = line_chart([line, Line('b', [])], 'iterations', 'value', dots=True, width=306,
                       marks=[(100, 'source'), (104, 'a name without room')])
    assert drawn.count('class="curve s0"') == 1 and drawn.count('class="dot s0"') == 3 and drawn.count('class="span s0"') == 1
    assert 'a, iterations 50: 1 (0.5 to 2 over the seeds)' in drawn and '>source</text>' in drawn
    assert '>a name without room</text>' not in drawn and 'a name without room ends at 104' in drawn
    assert line_chart([Line('a', [])], 'x', 'y') == ''
    seventh = line_chart([*[Line('', [])] * 6, Line('g', [[(1, 2.0, 2.0, 2.0), (2, 2.0, 2.0, 2.0)]])], 'x', 'y')
    assert 'class="curve s0 again"' in seventh


def test_chart_of_confusions():
    conf = torch.tensor([[75, 25, 0], [0, 0, 0]])
    drawn = confusion_chart(conf, ['road', 'a<b'], 600)
    assert 'road as a&lt;b: 25 of 100 pixels (25.00%)' in drawn and drawn.count('class="cell void"') == 2
    assert '>75</text>' in drawn and '>other</text>' not in drawn
    assert '>other</text>' in confusion_chart(conf + torch.tensor([[0, 0, 1], [0, 0, 0]]), ['road', 'a<b'], 600)
    assert confusion_chart(torch.zeros(2, 3, dtype=torch.int64), ['a', 'b']) == ''


def test_pictures_of_errors():
    truth, predicted = np.array([[0, 1, 255, 1]], np.uint8), np.array([[0, 0, 0, 1]], np.uint8)
    palette = [(250, 0, 0), (0, 0, 250)]
    cells = error_cells(np.full((1, 4, 3), 40, np.uint8), truth, predicted, palette)
    assert list(cells) == ['image', 'ground truth', 'prediction', 'wrong pixels']
    middle = [cell[40, 40::80].tolist() for cell in cells.values()]
    assert middle[1] == [[250, 0, 0], [0, 0, 250], [0, 0, 0], [0, 0, 250]] and middle[2][1] == [250, 0, 0]
    grey = middle[3][0]
    assert middle[3] == [grey, [250, 0, 0], grey, grey] and len(set(grey)) == 1  # where the truth is unknown, nothing is wrong


@pytest.mark.slow
def test_nothing_sticks_out_of_a_small_screen(runs, tmp_path):
    playwright = pytest.importorskip('playwright.sync_api', reason='no Playwright; install requirements/test.txt')
    executable = find_chromium()
    if executable is None:
        pytest.skip('no Chromium: install the package chromium, or name one with UDATOOLS_CHROMIUM')
    page_of(runs, tmp_path, truth=True)
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=executable, args=ARGUMENTS)
        except playwright.Error as error:
            pytest.skip(f'{executable} does not start: {str(error).splitlines()[0]}')
        for width in (360, 1366):
            page = browser.new_page(viewport=dict(width=width, height=800))
            page.goto((tmp_path / 'page.html').as_uri())
            page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
            assert page.evaluate('document.documentElement.scrollWidth') <= width
            outside = page.evaluate("""() => [...document.querySelectorAll('main *')].filter(part => !part.closest('.scroll')
              && part.getBoundingClientRect().width && (part.getBoundingClientRect().right > innerWidth + 1
              || part.getBoundingClientRect().left < -1)).map(part => part.outerHTML.slice(0, 80))""")
            assert outside == []
        browser.close()
