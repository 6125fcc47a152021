# SPDX-License-Identifier: Apache-2.0
"""The scripts in tools/dataset_converters as a user calls them."""
import json
import os
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from udatools.datasets.preparation import ClassStatistics
from udatools.registry import DATASETS

NATIVE = ('gta5', 'synthia', 'cityscapes', 'camvid', 'carla')


@pytest.fixture
def copy(tiny_data, tmp_path):
    """Function: a private copy of a tiny data set by the script's name."""
    kinds = dict(gta5='GTA5Domain', synthia='SYNTHIADomain', cityscapes='CityscapesDomain', camvid='CamVidDomain',
                 carla='CARLADomain')
    return lambda name: shutil.copytree(tiny_data[kinds[name]], tmp_path / name)


@pytest.mark.parametrize('name', NATIVE)
def test_check_writes_nothing_and_the_run_writes_statistics(name, script, copy, tree, capsys):
    root, main = copy(name), script(name)
    before = tree(root)
    assert main(root, '--check', '--nproc', 1) == 0
    said = capsys.readouterr().out
    assert tree(root) == before and ' 0 bad' in said and 'image sizes: 64x32' in said and 'rare-class P' in said
    assert main(root, '--nproc', 2) == 0
    classes = dict(synthia='synthia16', camvid='camvid11', carla='camvid11').get(name, 'cityscapes19')
    folder = root / 'udatools' / f'train_{classes}'
    assert {path: data for path, data in tree(root).items() if not path.startswith('udatools/')} == before
    assert f'wrote {folder / "class_statistics.json"}' in capsys.readouterr().out
    statistics = ClassStatistics.load(folder / 'class_statistics.json')
    report = json.loads((folder / 'report.json').read_text())
    assert statistics.class_set == classes == report['class_set'] and report['good'] == report['images'] == len(statistics.images)
    assert int(statistics.pixels.sum()) + statistics.ignored == 64 * 32 * report['images']
    first = (folder / 'class_statistics.json').read_bytes()
    assert main(root) == 0 and (folder / 'class_statistics.json').read_bytes() == first  # ROOT/udatools is no image


def test_bad_pairs(script, copy, capsys):
    root, main = copy('gta5'), script('gta5')
    label = root / 'labels' / '00002.png'
    cv2.imwrite(str(label), np.full((32, 64), 77, np.uint8))
    (root / 'labels' / '00003.png').unlink()
    assert main(root, '--check') == 1
    said = capsys.readouterr().out
    assert '4 good, 2 bad' in said and '00002  [label ids]' in said and '[77]' in said and '00003  [label missing]' in said
    assert main(root) == 0  # statistics without them; nothing is lost, so no failure
    folder = root / 'udatools' / 'train_cityscapes19'
    assert [entry['key'] for entry in json.loads((folder / 'report.json').read_text())['bad']] == ['00002', '00003']
    assert len(ClassStatistics.load(folder / 'class_statistics.json').images) == 4 and label.exists()


def test_splits_out_and_images_only(script, copy, tmp_path, capsys):
    root, main = copy('cityscapes'), script('cityscapes')
    assert main(root, '--split', 'train', 'val', '--out', tmp_path / 'out') == 0
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['train_cityscapes19', 'val_cityscapes19']
    assert not (root / 'udatools').exists()
    shutil.rmtree(root / 'gtFine')
    assert main(root, '--images-only', '--out', tmp_path / 'out') == 0
    assert sorted(path.name for path in (tmp_path / 'out' / 'train_images').iterdir()) == ['journal.jsonl', 'lock', 'report.json']
    assert capsys.readouterr().out.count('rare-class P') == 2


def test_own_classes(script, copy, tmp_path):
    root, main = copy('gta5'), script('gta5')
    (tmp_path / 'two.json').write_text('{"classes": ["street", "car"]}')
    (tmp_path / 'map.json').write_text('{"road": "street", "26": "car"}')
    assert main(root, '--classes', tmp_path / 'two.json', '--label-map', tmp_path / 'map.json') == 0
    own = ClassStatistics.load(root / 'udatools' / 'train_two' / 'class_statistics.json')
    assert main(root) == 0
    all_of_them = ClassStatistics.load(root / 'udatools' / 'train_cityscapes19' / 'class_statistics.json')
    assert own.classes == ('street', 'car') and own.pixels.tolist() == all_of_them.pixels[[0, 13]].tolist()


def test_image_folder(script, tmp_path, capsys):
    main = script('image_folder')
    for index in range(3):
        for folder, picture in (('shots', np.zeros((8, 10, 3), np.uint8)), ('truth', np.full((8, 10), index, np.uint8))):
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f'{index}.png'), picture)
    assert main(tmp_path / 'shots', '--check') == 0
    assert '3 images, 3 good' in capsys.readouterr().out
    assert main(tmp_path / 'shots', '--labels', tmp_path / 'truth', '--classes', 'camvid11') == 0
    statistics = ClassStatistics.load(tmp_path / 'shots' / 'udatools' / 'train_camvid11' / 'class_statistics.json')
    assert statistics.pixels.tolist() == [80, 80, 80, *[0] * 8]
    (tmp_path / 'shots' / '1.png').write_bytes(b'nothing')
    assert main(tmp_path / 'shots', '--check') == 1
    assert '1  [image]' in capsys.readouterr().out


def test_camvid_as_published(script, tmp_path, capsys):
    main = script('camvid')
    root = tmp_path / 'published'
    for stem, rgb in (('0001TP_006690', (128, 64, 128)), ('0001TP_006720', (64, 128, 192)), ('0016E5_07959', (0, 0, 0))):
        for folder, name, picture in (('701_StillsRaw_full', stem, np.zeros((6, 8, 3), np.uint8)),
                                      ('LabeledApproved_full', f'{stem}_L', np.full((6, 8, 3), rgb[::-1], np.uint8))):
            (root / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / folder / f'{name}.png'), picture)
    assert main(root) == 1 and '--reading exact or --reading merged' in capsys.readouterr().err
    assert main(root, '--reading', 'merged', '--check') == 0 and not (root / 'udatools').exists()
    assert main(root, '--reading', 'merged', '--split', 'train', 'val') == 0
    assert 'use it as data_root' in capsys.readouterr().out
    assert main(root, '--reading', 'exact', '--size', '4x3', '--out', tmp_path / 'small') == 0
    read = lambda path: cv2.imread(str(path), cv2.IMREAD_UNCHANGED)  # noqa: E731
    merged = root / 'udatools' / 'merged'
    assert (read(merged / 'trainannot' / '0001TP_006720.png') == 8).all() and (merged / 'val' / '0016E5_07959.png').exists()
    assert read(tmp_path / 'small' / 'trainannot' / '0001TP_006720.png').tolist() == [[11] * 4] * 3
    assert ClassStatistics.load(merged / 'train_camvid11' / 'class_statistics.json').pixels[[3, 8]].tolist() == [48, 48]
    assert main(root, '--reading', 'exact', '--out', merged) == 1 and "reading 'merged'" in capsys.readouterr().err
    (root / 'LabeledApproved_full' / '0001TP_006690_L.png').unlink()
    assert main(root, '--reading', 'merged', '--out', tmp_path / 'gap') == 1  # a conversion with a gap is no success
    assert main(merged, '--check') == 0  # the result is a data set in the SegNet layout
    assert main(merged, '--reading', 'exact', '--check') == 1 and 'leave them out' in capsys.readouterr().err
    assert main(root, '--reading', 'merged', '--classes', 'cityscapes19', '--check') == 1
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(root, '--size', '4')
    assert 'WIDTHxHEIGHT' in capsys.readouterr().err


@pytest.mark.parametrize('arguments, message', [
    (['nowhere'], 'does not exist'), (['.', '--classes', 'kitti'], "the class set 'kitti'"),
    (['.', '--classes', 'no.json'], 'no.json does not exist'), (['.', '--label-map', 'no.json'], 'no.json does not exist'),
])
def test_errors_are_one_line(arguments, message, script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert script('gta5')(*arguments) == 1
    error = capsys.readouterr().err
    assert message in error and 'Traceback' not in error


def test_a_folder_that_cannot_be_written(script, copy, tmp_path, monkeypatch, capsys):
    root = copy('gta5')
    (root / 'udatools').write_text('a file is in the way')
    assert script('gta5')(root) == 1
    assert 'udatools' in capsys.readouterr().err

    def read_only(*args, **kwargs):
        raise PermissionError(13, 'Permission denied', str(root / 'udatools'))

    monkeypatch.setattr('udatools.datasets.preparation.prepare.WorkDirLock.__enter__', read_only)
    assert script('gta5')(root) == 1
    assert 'folder of your own with --out' in capsys.readouterr().err


def test_two_at_a_time_are_refused(script, copy, capsys):
    root, folder = copy('gta5'), 'udatools/train_cityscapes19'
    from udatools.engine.runner.journal import WorkDirLock
    with WorkDirLock(root / folder):
        assert script('gta5')(root) == 1
    error = capsys.readouterr().err
    assert 'is in use by another run' in error and '--work-dir' not in error


@pytest.mark.slow
def test_as_a_command_in_a_checkout_that_is_not_installed(repo_root, copy):
    root = copy('carla')
    env = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    done = subprocess.run([sys.executable, str(repo_root / 'tools/dataset_converters/carla.py'), str(root), '--check'],
                          env=env, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ' 0 bad' in done.stdout and 'WARNING' not in done.stdout + done.stderr


@pytest.mark.parametrize('name, count', [('carla', 169), ('camvid', 101)])
def test_real_data_is_clean(name, count, script, real_data_root, capsys):
    assert script(name)(real_data_root / name, '--split', 'val', '--check', '--nproc', 2) == 0
    said = capsys.readouterr().out
    assert f'{count} pairs, {count} good, 0 bad' in said and f'480x360 x {count}' in said


def test_the_example_of_the_documentation(script, copy, repo_root, tmp_path):
    blocks = re.findall(r'^```python\n(.*?)^```', (repo_root / 'docs' / 'datasets.md').read_text(), flags=re.M | re.S)
    code, = (block for block in blocks if 'min_pixels' in block)
    root = copy('gta5')
    assert script('gta5')(root) == 0
    for full_size, here in {'data/gta5': str(root), 'min_pixels=3000': 'min_pixels=300', 'min_crop_pixels=1500': ''}.items():
        assert full_size in code
        code = code.replace(full_size, here)
    load = [dict(type=f'mmseg.{name}') for name in ('LoadDomainImage', 'LoadDomainLabel', 'PackSegInputs')]
    names = dict(source_train=dict(type='GTA5Domain', data_root=str(root), pipeline=load), target_train=None)
    exec(code, names)
    dataset = DATASETS.build(names['train_dataloader']['dataset'])
    likely = dataset.describe()['rare_classes']['probabilities']
    pixels = ClassStatistics.load(root / 'udatools/train_cityscapes19/class_statistics.json')
    enough = {pixels.classes[i] for counts in pixels.images.values() for i, n in counts.items() if n >= 300 and i < 19}
    assert {name for name, probability in likely.items() if probability > 0} <= enough
    assert sum(likely.values()) == pytest.approx(1, abs=1e-2)
    assert dataset[0]['inputs']['source'].shape == (3, 32, 64)


def test_the_table_of_readings_in_the_documentation(repo_root):
    from udatools.datasets.preparation.camvid32 import load_tables
    rows = re.findall(r'^\| (\w+) \| (\w+) \| ([\w, ]*)\|$', (repo_root / 'docs' / 'datasets.md').read_text(), flags=re.M)
    readings = load_tables()['readings']
    assert {exact: name for name, exact, _ in rows} == readings['exact'] and len(rows) == 11
    merged = {one: name for name, exact, more in rows for one in (exact, *more.replace(' ', '').split(',')) if one}
    assert merged == readings['merged']
