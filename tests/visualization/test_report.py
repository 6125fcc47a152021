# SPDX-License-Identifier: Apache-2.0
"""The report of a made-up run: its numbers, its pictures, and what it does when pieces are missing."""

import base64
import json
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from html_page import Page
from toy_campaign import write_costs

from udatools.visualization import write_report
from udatools.visualization.run_data import load_panels, load_run


def report(work_dir, max_panels=1, **keywords) -> Page:
    return Page(write_report(work_dir, max_panels=max_panels, **keywords).read_text(encoding='utf-8'))


def edit(work_dir, change) -> None:
    path = work_dir / 'results.json'
    content = json.loads(path.read_text(encoding='utf-8'))
    change(content)
    path.write_text(json.dumps(content), encoding='utf-8')


def headings(page: Page) -> int:
    return sum(tag == 'h2' for tag, _ in page.tags)


def test_numbers_of_the_run_are_there(fake_run):
    work_dir = fake_run()
    page = report(work_dir, image_root=work_dir.parent / 'images')
    for text in (
        'spl_toy',
        '52.4',
        '2.27%',
        '97.9%',
        '+21.2',
        '418 pixels in 4 images',
        'supervised',
        'adaptsegnet',
        'toy6',
        'round 3',
        '20 min 10 s',
        '1 h',
        'full labelling',
        '18,432',
        '6 h',
        'training time',
        '1 min 1 s',
        'final/model.pth',
        'torch 2',
        'Classes',
        'What was asked',
        'Questions and answers',
        'Cost of the labels',
    ):
        assert text in page.text, text
    assert 'seed 0' in page.text
    # Round 3 alone: 418 - 274 pixels.
    assert re.search(r'round 3\s+144\s+0\.78%\s+–\s+20 min 10 s\s+52\.4', page.text)
    assert re.search(r'all rounds\s+418\s+2\.27%', page.text)


def test_class_table(fake_run):
    work_dir = fake_run()
    edit(work_dir, lambda content: content['stages'][-1]['metrics']['IoU'].update(pole=None))
    page = report(work_dir)
    # source, warmup, rounds 1-3, gain, three baselines: 31.2 + 34 = 65.2 ... for the first class
    assert re.search(r'road\s+65\.2\s+70\.4\s+82\.3\s+85\.0\s+86\.4\s+\+21\.2\s+65\.2\s+70\.9\s+87\.5', page.text)
    assert re.search(r'pole\s+0\.0\s+2\.4\s+14\.3\s+17\.[01]\s+–\s+–', page.text)
    assert re.search(r'mean\s+31\.2\s+36\.4\s+48\.3\s+51\.0\s+52\.4\s+\+21\.2', page.text)


def test_page_is_self_contained(fake_run):
    work_dir = fake_run()
    html = write_report(work_dir, work_dir.parent / 'images').read_text(encoding='utf-8')
    page = Page(html)
    for tag, attributes in page.tags:
        assert tag not in ('script', 'link', 'iframe', 'object'), tag
        for name in ('src', 'href', 'xlink:href', 'srcset', 'action'):
            assert attributes.get(name, 'data:').startswith('data:image/png;base64,') or name not in attributes, (
                attributes
            )
    assert not re.search(r'https?://|url\(|@import', html)
    assert 'prefers-color-scheme: dark' in html and 'name="viewport"' in html


def test_pictures_show_image_prediction_mask_and_answer(fake_run):
    work_dir = fake_run()
    page = report(work_dir, max_panels=8, image_root=work_dir.parent / 'images')
    pictures = [attributes for tag, attributes in page.tags if tag == 'img']
    assert len(pictures) == 8 * 4
    assert pictures[0]['alt'].startswith('image of a/img_') and pictures[3]['alt'].startswith('answer of')
    data = base64.b64decode(pictures[0]['src'].split(',')[1])
    first = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert first.shape == (240, 480, 3)
    original = cv2.imread(str(work_dir.parent / 'images' / f'{pictures[0]["alt"].split()[-1]}.png'))
    assert np.abs(cv2.resize(first, (96, 48), interpolation=cv2.INTER_AREA).astype(int) - original).mean() < 12
    files = sorted(path.name for path in (work_dir / 'report').iterdir())
    assert files == ['curve.png', 'index.html', 'panels.png']
    montage = cv2.imread(str(work_dir / 'report' / 'panels.png'))
    assert montage.shape == (8 * 240 + 7 * 8, 4 * 480 + 3 * 8, 3)
    curve = cv2.imread(str(work_dir / 'report' / 'curve.png'))
    assert curve.shape[1] > 800 and (curve != 255).any()


def test_answers_of_a_panel_are_those_of_its_round(fake_run):
    work_dir = fake_run()
    run = load_run(work_dir, work_dir.parent / 'images')
    panels = load_panels(run, limit=12)
    assert [panel.round for panel in panels] == [1] * 4 + [2] * 4 + [3] * 4
    for panel in panels:
        assert ((panel.answer != 255) == (panel.mask > 0)).all()
        assert panel.asked_pixels == (panel.mask > 0).sum() > 0
        assert panel.image.shape == (48, 96, 3) and panel.prediction.shape == (48, 96)


def test_few_panels_show_different_images(fake_run):
    run = load_run(fake_run())
    panels = load_panels(run, limit=3)
    assert [panel.round for panel in panels] == [1, 2, 3] and len({panel.key for panel in panels}) == 3
    assert load_panels(run, limit=0) == []


def test_class_counts_of_a_round_are_differences(fake_run):
    rounds = load_run(fake_run()).round_class_pixels()
    assert [number for number, _ in rounds] == [1, 2, 3]
    # pixels 137, 274, 418 spread evenly over six classes; pole got seven more in the last round
    assert [sum(counts.values()) for _, counts in rounds] == [137, 137, 144]
    assert rounds[2][1]['pole'] - rounds[0][1]['pole'] == pytest.approx(7, abs=1)


def test_class_frequency_is_given_predicted_everywhere_or_predicted_here(fake_run):
    work_dir = fake_run()
    run = load_run(work_dir)
    assert 'images shown' in run.frequency_source and sum(run.class_frequency.values()) == pytest.approx(1)
    folder = work_dir / 'pseudo_labels' / 'round_2'
    folder.mkdir(parents=True)
    rows = {name: dict(predicted=i, kept=0) for i, name in enumerate(run.classes)}
    (folder / 'coverage.json').write_text(json.dumps(dict(classes=rows)))
    run = load_run(work_dir)
    assert run.class_frequency['pole'] == 5 / 15 and 'as predicted' in run.frequency_source
    later = work_dir / 'pseudo_labels' / 'second_phase_1'
    later.mkdir()
    (later / 'coverage.json').write_text(json.dumps(dict(classes={name: dict(predicted=1) for name in run.classes})))
    assert load_run(work_dir).class_frequency['pole'] == 1 / 6  # what trained the last model
    edit(work_dir, lambda content: content.update(class_frequency={'road': 3, 'car': 1}))
    assert load_run(work_dir).class_frequency == {'road': 0.75, 'car': 0.25}


def test_images_are_found_through_the_config_of_the_run(fake_run, minidrive_root):
    work_dir = fake_run()
    dataset = dict(type='CityscapesDomain', data_root=str(minidrive_root / 'cityscapes'), split='train', labelled=True)
    (work_dir / 'config.py').write_text(f'target_images = {dataset!r}\n')
    assert load_run(work_dir).image_root == minidrive_root / 'cityscapes' / 'leftImg8bit' / 'train'
    (work_dir / 'config.py').write_text('target_images = dict(type="NoSuchDataset")\n')
    assert load_run(work_dir).image_root is None


def test_names_are_escaped(fake_run):
    evil = '<b onclick="x">&"\''
    work_dir = fake_run(name=evil)

    def change(content):
        content.update(protocol=evil, classes=[evil, *content['classes'][1:]], final={evil: evil})
        for record in content['stages'] + content['baselines']:
            record['name'] = record['name'] + evil
            record['metrics']['IoU'][evil] = record['metrics']['IoU'].pop('road')
        content['stages'][-1]['labelled']['classes'][evil] = 400

    edit(work_dir, change)
    for path in (work_dir / 'requests').glob('round_*/items.jsonl'):
        path.write_text(json.dumps(dict(key='a/img_0', path=evil)) + '\n')
        for folder in ('masks', 'predictions'):
            old = path.parent / folder / 'a' / 'img_0.png'
            old.rename(old.with_name(f'{evil}.png'))
    html = write_report(work_dir).read_text(encoding='utf-8')
    assert '<b onclick' not in html and '&lt;b onclick' in html
    page = Page(html)
    assert not any('onclick' in attributes for _, attributes in page.tags)
    assert any(attributes.get('alt', '').endswith(evil) for _, attributes in page.tags)


@pytest.mark.parametrize(
    'missing',
    [
        'journal.json',
        'requests',
        'labels',
        '../images',
        'requests/round_1/request.json',
        'requests/round_1/items.jsonl',
        'requests/round_2/predictions',
        'requests/round_1/masks',
    ],
)
def test_missing_pieces_are_left_out(fake_run, missing):
    work_dir = fake_run()
    path = work_dir / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = report(work_dir, 3, image_root=work_dir.parent / 'images')
    assert '52.4' in page.text and 'Cost of the labels' in page.text
    assert ('Questions and answers' in page.text) == (missing != 'requests')


def test_damaged_pieces_are_left_out(fake_run):
    work_dir = fake_run()
    folder = work_dir / 'requests' / 'round_1'
    (work_dir / 'journal.json').write_text('{"stages": ')
    (folder / 'request.json').write_text('[]')
    with open(folder / 'items.jsonl', 'a', encoding='utf-8') as file:
        file.write('{"key": "a/img_9", "pa')
    for path in (folder / 'masks').rglob('*.png'):
        path.write_bytes(path.read_bytes()[:40])
    cv2.imwrite(str(work_dir / 'labels' / 'a' / 'img_0.png'), np.zeros((5, 5), np.uint8))  # another size
    assert '52.4' in report(work_dir, 8, image_root=work_dir.parent / 'images').text


def test_run_without_labels(fake_run):
    work_dir = fake_run(rounds=0)
    page = report(work_dir)
    assert 'Accuracy' in page.text and '36.4' in page.text and '+5.2' in page.text
    for absent in ('What was asked', 'Questions and answers', 'Cost of the labels', 'labelling time'):
        assert absent not in page.text
    assert (work_dir / 'report' / 'curve.png').is_file()


def test_smallest_results(tmp_path):
    (tmp_path / 'results.json').write_text('{"schema_version": 1, "stages": []}')
    page = report(tmp_path)
    assert 'No stage has been evaluated' in page.text
    (tmp_path / 'results.json').write_text('{"stages": [{"name": "a", "metrics": {"mIoU": null}}], "baselines": null}')
    assert headings(report(tmp_path)) == 1
    (tmp_path / 'results.json').write_text(
        json.dumps(dict(stages=[dict(name='a', metrics=dict(mIoU=1.25, IoU=dict(x=1.25)))]))
    )
    page = report(tmp_path)
    assert re.search(r'x\s+1\.2', page.text) and tmp_path.name in page.text


def test_no_results(tmp_path):
    with pytest.raises(FileNotFoundError, match='results.json does not exist.*tools/train.py'):
        write_report(tmp_path)
    (tmp_path / 'results.json').write_text('{"stages": [')
    with pytest.raises(ValueError, match='results.json is not a JSON object'):
        write_report(tmp_path)


def test_baselines_of_several_seeds_are_averaged(fake_run):
    work_dir = fake_run()

    def change(content):
        last = content['baselines'][-1]
        content['baselines'].append(dict(last, seed=1, metrics=dict(last['metrics'], mIoU=51.5)))
        content['baselines'].insert(0, dict(name='unsupervised_toy', seed=0, metrics=dict(mIoU=99.0, IoU={})))

    edit(work_dir, change)
    run = load_run(work_dir)
    assert run.supervised.miou == 52.5 and run.supervised.seeds == [0, 1]
    assert 'supervised (mean of 2 seeds)' in report(work_dir).text
    assert '99.8%' in report(work_dir).text  # 52.37 / 52.5


def test_same_run_gives_the_same_page_and_old_pictures_go(fake_run):
    work_dir = fake_run()
    first = write_report(work_dir, max_panels=1).read_bytes()
    assert write_report(work_dir, max_panels=1).read_bytes() == first
    shutil.rmtree(work_dir / 'requests')
    write_report(work_dir)
    assert not (work_dir / 'report' / 'panels.png').exists()
    assert [path for path in (work_dir / 'report').iterdir() if path.name.startswith('.')] == []


@pytest.mark.slow
def test_command_line(fake_run, repo_root, tmp_path):
    work_dir = fake_run()
    script = [sys.executable, str(repo_root / 'tools' / 'analysis' / 'make_report.py')]
    done = subprocess.run([*script, str(work_dir), '--panels', '2'], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f'report: {work_dir}/report/index.html' and 'round3_main' in done.stdout
    montage = cv2.imread(str(work_dir / 'report' / 'panels.png'))
    assert montage.shape[0] == 2 * 240 + 8
    wrong = subprocess.run([*script, str(tmp_path / 'nothing')], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode == 1 and 'results.json does not exist' in wrong.stderr and 'Traceback' not in wrong.stderr


@pytest.mark.parametrize('looked, note', [
    (True, 'looks at target labels: an oracle, not a result'), (False, 'without target labels')])
def test_a_chosen_checkpoint_is_told_and_whether_target_labels_were_looked_at(fake_run, looked, note):
    work_dir = fake_run()
    assert 'chosen by' not in Page(write_report(work_dir).read_text(encoding='utf-8')).text
    results = json.loads((work_dir / 'results.json').read_text(encoding='utf-8'))
    last = results['stages'][-1]
    last['selection'] = dict(criterion='some_score', chosen='stages/09_main/iter_7.pth', candidates=[{}, {}, {}],
                             uses_target_labels=looked)
    (work_dir / 'results.json').write_text(json.dumps(results), encoding='utf-8')
    text = Page(write_report(work_dir).read_text(encoding='utf-8')).text
    assert f'{last["name"]}: iter_7, one of 3 checkpoints, chosen by some_score ({note})' in text


def test_full_labelling_costs_what_the_config_says(fake_run):
    work_dir = fake_run()
    assert 'at 1 h 30 min each, the figure for Cityscapes; this run took' in report(work_dir).text
    write_costs(work_dir, image_seconds=600.0)
    assert 'at 10 min each; this run took' in report(work_dir).text
