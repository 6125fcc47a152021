# SPDX-License-Identifier: Apache-2.0
"""Verification of pairs, class statistics, and runs that are killed."""
import json
import math
import multiprocessing
import os
import shutil
import signal
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.datasets import CityscapesDomain, GTA5Domain, ImageFolderDomain, SYNTHIADomain
from udatools.datasets.preparation import (
    ClassStatistics,
    DomainPairs,
    check_source,
    images_by_class,
    prepare,
    prepare_source,
    rare_class_probabilities,
    summarise_records,
)
from udatools.datasets.preparation.prepare import map_pairs

RAW = (0, 7, 8, 33, 34)
TO_TRAIN = {0: 255, 7: 0, 8: 1, 33: 18, 34: 255}


def count_by_hand(raw):
    counts = {}
    for value in raw.ravel().tolist():
        counts[TO_TRAIN[value]] = counts.get(TO_TRAIN[value], 0) + 1
    return counts


def outputs(folder):
    return {name: (folder / name).read_bytes() for name in ('report.json', 'class_statistics.json')}


def test_good_pairs_are_counted(trees):
    source = DomainPairs(GTA5Domain, trees.gta5())
    records = check_source(source)
    assert [record.key for record in records] == source.images.keys and all(record.good for record in records)
    for i, record in enumerate(records):
        assert record.size == (32, 24) and record.counts == count_by_hand(trees.labels(i, RAW))
    assert sorted(path.name for path in trees.gta5().iterdir()) == ['images', 'labels']  # nothing was written


def test_every_kind_of_bad_pair_is_reported_and_left_alone(trees, tree):
    root = trees.gta5(n=9)
    (root / 'labels' / '00002.png').unlink()
    for folder in ('images', 'labels'):
        path = root / folder / '00003.png'
        path.write_bytes(path.read_bytes()[:-100])
    trees.write(root / 'labels' / '00004.png', trees.labels(0, RAW, (12, 32)))
    trees.write(root / 'labels' / '00005.png', trees.labels(0, (7, 60, 200)))
    trees.write(root / 'labels' / '00006.png', trees.picture(1))
    (root / 'images' / '00007.png').write_bytes(b'')
    trees.write(root / 'labels' / '00008.png', np.full((24, 32), 255, np.uint8))
    before = tree(root)
    found = summarise_records(check_source(DomainPairs(GTA5Domain, root)))
    assert tree(root) == before
    assert (found['images'], found['good'], found['unlabelled'], found['sizes']) == (9, 3, 1, {'32x24': 7})
    bad = {(entry['key'], entry['problem']): entry['text'] for entry in found['bad']}
    assert list(bad) == [('00002', 'label missing'), ('00003', 'image'), ('00003', 'label unreadable'), ('00004', 'sizes differ'),
                         ('00005', 'label ids'), ('00006', 'label ids'), ('00007', 'image')]
    assert found['problems'] == {'image': 2, 'label ids': 2, 'label missing': 1, 'label unreadable': 1, 'sizes differ': 1}
    assert '32x24' in bad['00004', 'sizes differ'] and '32x12' in bad['00004', 'sizes differ']
    assert '[60, 200]' in bad['00005', 'label ids'] and 'truncated' in bad['00003', 'label unreadable']
    assert bad['00003', 'image'].startswith('images/00003.png') and str(root) not in str(bad)  # the same on another machine


def test_what_passes_here_loads_there(trees):
    """The judgement is that of training: good pairs load, bad ones raise."""
    root = trees.gta5(n=4)
    trees.write(root / 'labels' / '00002.png', trees.labels(0, RAW, (12, 32)))
    trees.write(root / 'labels' / '00004.png', trees.labels(0, (7, 60)))
    data = GTA5Domain(root, pipeline=[dict(type='LoadDomainImage'), dict(type='LoadDomainLabel')])
    for i, record in enumerate(check_source(DomainPairs(GTA5Domain, root))):
        if record.good:
            values, pixels = np.unique(data[i]['gt_seg_map'], return_counts=True)
            assert record.counts == dict(zip(values.tolist(), pixels.tolist()))
        else:
            with pytest.raises(ValueError):
                data[i]


def test_layouts_with_their_own_label_files(trees):
    synthia = check_source(DomainPairs(SYNTHIADomain, trees.synthia(), classes='synthia16'))
    raw = trees.labels(0, (0, 1, 3, 16, 22))
    assert synthia[0].counts == {0: int((raw == 3).sum()), 9: int((raw == 1).sum()),
                                 255: int(np.isin(raw, (0, 16, 22)).sum())}  # terrain is not of the 16
    converted = check_source(DomainPairs(CityscapesDomain, trees.cityscapes(kind='labelTrainIds', raw=(0, 18, 255))))
    assert set(converted[0].counts) == {0, 18, 255}


def test_images_only_never_looks_for_labels(trees, tmp_path):
    root = trees.cityscapes()
    shutil.rmtree(root / 'gtFine')
    assert all(not record.good for record in check_source(DomainPairs(CityscapesDomain, root)))
    source = DomainPairs(CityscapesDomain, root, images_only=True)
    records = prepare_source(source, tmp_path / 'out')
    assert all(record.good and record.size == (32, 24) and not record.counts for record in records)
    assert not (tmp_path / 'out' / 'class_statistics.json').exists()
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert report['class_set'] is None and report['good'] == report['images'] == 4


# ---- statistics -----------------------------------------------------------------------------------------------------


def test_statistics_file(trees, tmp_path):
    root = trees.gta5(n=3)
    trees.write(root / 'labels' / '00002.png', trees.labels(0, (7, 60)))
    prepare_source(DomainPairs(GTA5Domain, root), tmp_path)
    content = json.loads((tmp_path / 'class_statistics.json').read_text())
    one, three = (count_by_hand(trees.labels(i, RAW)) for i in (0, 2))
    assert list(content['images']) == ['00001', '00003']  # the bad pair is not in it
    assert content['images']['00003'] == {str(i): n for i, n in three.items()}
    assert content['pixels'] == [one.get(c, 0) + three.get(c, 0) for c in range(19)]
    assert content['ignored_pixels'] == one[255] + three[255]
    assert content['image_counts'] == [2, 2, *[0] * 16, 2]
    assert content['schema_version'] == 1 and content['class_set'] == 'cityscapes19' and content['classes'][18] == 'bicycle'
    statistics = ClassStatistics.load(tmp_path / 'class_statistics.json')
    assert statistics.images == {'00001': one, '00003': three} and statistics.pixels.tolist() == content['pixels']
    statistics.check(GTA5Domain(root))
    with pytest.raises(ValueError, match='other images'):
        statistics.check(GTA5Domain(root, max_items=2))
    with pytest.raises(ValueError, match='the data set has road, sidewalk, building, wall'):
        statistics.check(GTA5Domain(root, classes='synthia16'))


def test_damaged_statistics_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='tools/dataset_converters'):
        ClassStatistics.load(tmp_path / 'no.json')
    for text in ('{"schema_version": 1', '{"schema_version": 7}', '[]', '{"schema_version": 1, "images": 3}'):
        (tmp_path / 'bad.json').write_text(text)
        with pytest.raises(ValueError, match='bad.json holds no class statistics'):
            ClassStatistics.load(tmp_path / 'bad.json')


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=8).filter(any), st.sampled_from([0.01, 0.1, 1.0, 10.0]))
def test_probabilities_are_the_formula(counts, temperature):
    total = sum(counts)
    weight = [0.0 if n == 0 else math.exp((1 - n / total) / temperature - 1 / temperature) for n in counts]
    result = rare_class_probabilities(counts, temperature)
    if sum(weight) > 0:  # the literal formula may underflow
        assert np.allclose(result, np.array(weight) / sum(weight), rtol=1e-9)
    assert result.sum() == pytest.approx(1.0) and (result[np.array(counts) == 0] == 0).all()
    for a, first in enumerate(counts):
        for b, second in enumerate(counts):
            assert not (0 < first < second) or result[a] >= result[b]  # the rarer the likelier


def test_probabilities_by_hand_and_at_the_edges():
    # shares 1/2, 1/4, 1/4: e^1, e^1.5, e^1.5 at T = 1/2
    expected = np.array([math.e, math.e**1.5, math.e**1.5]) / (math.e + 2 * math.e**1.5)
    assert np.allclose(rare_class_probabilities([2, 1, 1], 0.5), expected)
    assert rare_class_probabilities([0, 5, 0]).tolist() == [0, 1, 0]
    assert rare_class_probabilities([1, 10**12], 1e-9).tolist() == [1, 0]  # no overflow
    assert rare_class_probabilities([3, 3], 0.01).tolist() == [0.5, 0.5]
    for counts, temperature in (([0, 0], 0.1), ([1, -1], 0.1), ([], 0.1), ([1, 2], 0), ([1, math.nan], 1), ([1, 2], math.nan)):
        with pytest.raises(ValueError, match='got'):
            rare_class_probabilities(counts, temperature)


def test_images_by_class():
    images = {'b': {0: 5, 2: 1, 255: 9}, 'a': {0: 2}, 'c': {2: 2, 1: 3}}
    assert images_by_class(images, 3) == [['a', 'b'], ['c'], ['b', 'c']]
    assert images_by_class(images, 3, min_pixels=2) == [['a', 'b'], ['c'], ['c']]
    assert images_by_class(images, 3, min_pixels=6) == [[], [], []]
    with pytest.raises(ValueError, match='min_pixels=0'):
        images_by_class(images, 3, min_pixels=0)


# ---- processes, kills, changes --------------------------------------------------------------------------------------


def test_number_of_processes_changes_nothing(trees, tmp_path):
    root = trees.gta5(n=12)
    trees.write(root / 'labels' / '00005.png', trees.labels(0, (7, 60)))
    for nproc in (1, 3):
        prepare_source(DomainPairs(GTA5Domain, root), tmp_path / str(nproc), nproc=nproc)
    assert outputs(tmp_path / '1') == outputs(tmp_path / '3')
    assert check_source(DomainPairs(GTA5Domain, root), nproc=3) == check_source(DomainPairs(GTA5Domain, root))


def _slow(root, folder, nproc):
    original = prepare.verify_pair

    def verify_slowly(pair, **kwargs):
        (folder / f'{os.getpid()}.pid').touch()
        time.sleep(0.05)
        return original(pair, **kwargs)

    prepare.verify_pair = verify_slowly
    prepare.CHUNK = 2
    prepare_source(DomainPairs(GTA5Domain, root), folder, nproc=nproc)


@pytest.mark.parametrize('nproc', [1, 2])
def test_a_killed_run_goes_on_to_the_same_bytes(nproc, trees, tmp_path, monkeypatch):
    root = trees.gta5(n=20)
    trees.write(root / 'labels' / '00005.png', trees.labels(0, (7, 60)))
    prepare_source(DomainPairs(GTA5Domain, root), tmp_path / 'whole')
    folder = tmp_path / 'killed'
    process = multiprocessing.get_context('fork').Process(target=_slow, args=(root, folder, nproc))
    process.start()
    journal = folder / 'journal.jsonl'
    limit = time.monotonic() + 20
    while not (journal.exists() and journal.read_bytes().count(b'\n') >= 6):
        assert time.monotonic() < limit
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    workers = [int(path.stem) for path in folder.glob('*.pid')]
    assert len(workers) == nproc
    while any(os.path.exists(f'/proc/{worker}') for worker in workers):  # they do not outlive who asked them
        if time.monotonic() > limit:
            [os.kill(worker, signal.SIGKILL) for worker in workers]
            pytest.fail('a worker is still there')
        time.sleep(0.05)
    with open(journal, 'ab') as file:
        file.write(b'{"key": "00019", "size": [32')  # a line cut short
    assert not (folder / 'report.json').exists()
    done = []
    original = prepare.verify_pair
    monkeypatch.setattr(prepare, 'verify_pair', lambda pair, **kwargs: (done.append(pair.key), original(pair, **kwargs))[1])
    prepare_source(DomainPairs(GTA5Domain, root), folder)
    assert 0 < len(done) <= 15
    assert outputs(folder) == outputs(tmp_path / 'whole')
    done.clear()
    prepare_source(DomainPairs(GTA5Domain, root), folder)
    assert done == [] and outputs(folder) == outputs(tmp_path / 'whole')


def test_changed_files_are_verified_again(trees, tmp_path):
    root = trees.gta5(n=3)
    label = root / 'labels' / '00002.png'
    good = label.read_bytes()
    trees.write(label, trees.labels(0, (7, 60)))
    source = DomainPairs(GTA5Domain, root)
    assert [record.good for record in prepare_source(source, tmp_path / 'a')] == [True, False, True]
    label.write_bytes(good)
    assert [record.good for record in prepare_source(source, tmp_path / 'a')] == [True, True, True]
    prepare_source(source, tmp_path / 'b')
    assert outputs(tmp_path / 'a') == outputs(tmp_path / 'b')
    label.unlink()
    assert [record.good for record in prepare_source(source, tmp_path / 'a')] == [True, False, True]


def test_another_label_map_begins_anew(trees, tmp_path):
    root = trees.gta5(n=2)
    prepare_source(DomainPairs(GTA5Domain, root), tmp_path)
    own = dict(classes=dict(name='two', classes=['street', 'rest']), label_map={7: 'street', 33: 'rest'})
    records = prepare_source(DomainPairs(GTA5Domain, root, **own), tmp_path)
    raw = trees.labels(0, RAW)
    assert records[0].counts == {0: int((raw == 7).sum()), 1: int((raw == 33).sum()),
                                 255: int(np.isin(raw, (0, 8, 34)).sum())}
    assert ClassStatistics.load(tmp_path / 'class_statistics.json').classes == ('street', 'rest')


@pytest.mark.parametrize('damage', [b'', b'not json\n', b'{"schema_version": 0}\n{}\n', b'\xff\xfe\x00\n'])
def test_a_damaged_journal_is_no_obstacle(damage, trees, tmp_path):
    source = DomainPairs(GTA5Domain, trees.gta5(n=2))
    (tmp_path / 'journal.jsonl').write_bytes(damage)
    assert all(record.good for record in prepare_source(source, tmp_path))
    lines = (tmp_path / 'journal.jsonl').read_text().splitlines()
    assert len(lines) == 3 and json.loads(lines[1])['key'] == '00001'


def test_a_line_that_lacks_only_its_end(trees, tmp_path, monkeypatch):
    source = DomainPairs(GTA5Domain, trees.gta5(n=3))
    prepare_source(source, tmp_path)
    journal = tmp_path / 'journal.jsonl'
    journal.write_bytes(journal.read_bytes()[:-1])
    prepare_source(DomainPairs(GTA5Domain, trees.gta5(n=4)), tmp_path)
    lines = journal.read_text().splitlines()
    assert [json.loads(line)['key'] for line in lines[1:]][-2:] == ['00003', '00004']  # not two on a line


def test_a_dead_worker_is_an_error_not_a_hang(trees):
    pairs = DomainPairs(GTA5Domain, trees.gta5(n=4)).pairs()
    with pytest.raises(RuntimeError, match='processes died.*--nproc'):
        list(map_pairs(lambda pair: os._exit(9), pairs, 2))


def test_image_folder_with_and_without_labels(trees, tmp_path):
    for i in range(3):
        trees.write(tmp_path / 'shots' / f'{i}.png', trees.picture(i))
        trees.write(tmp_path / 'truth' / f'{i}.png', trees.labels(i, (3, 40)))
    classes = dict(name='two', classes=['a', 'b'])
    source = DomainPairs(ImageFolderDomain, tmp_path / 'shots', label_root=tmp_path / 'truth', classes=classes,
                         label_map={3: 'b', 40: 'ignore'})
    assert [set(record.counts) for record in check_source(source)] == [{1, 255}] * 3
    source = DomainPairs(ImageFolderDomain, tmp_path / 'shots', label_root=tmp_path / 'truth', classes=classes)
    assert all('[3, 40]' in record.problems[0][1] for record in check_source(source))
    assert all(record.good for record in check_source(DomainPairs(ImageFolderDomain, tmp_path / 'shots', images_only=True)))
