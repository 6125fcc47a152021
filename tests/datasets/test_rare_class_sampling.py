# SPDX-License-Identifier: Apache-2.0
"""Rare-class sampling: the distribution by counting, the augmentation that is drawn again, and what stays as it was."""
import numpy as np
import pytest
import torch

from udatools.datasets import CityscapesDomain, ClipDataset, CounterSampler, GTA5Domain, UDADataset
from udatools.datasets.preparation import ClassStatistics, rare_class_probabilities
from udatools.datasets.rare_class_sampling import RareClassSampling, count_classes
from udatools.utils.rng import scoped_rng
from udatools.visualization.browse import walk

PIPELINE = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='RandomCrop', crop_size=(12, 12)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs', meta_keys=('img_path', 'key')),
]
ROAD, SIDEWALK, CAR, BICYCLE = 0, 1, 13, 18


@pytest.fixture
def gta5(trees):
    """Five images of 24x32: road; sidewalk in 1 and 2; a square of 4x4 of bicycle in 3 and 4; one pixel of car in 4."""
    root = trees.gta5(5)
    for i in range(5):
        label = np.full((24, 32), 7, np.uint8)
        if i in (1, 2):
            label[:12] = 8
        if i in (3, 4):
            label[16:20, 4:8] = 33
        if i == 4:
            label[20, 20] = 26
        trees.write(root / 'labels' / f'{i + 1:05d}.png', label)
    return root


def uda(gta5, trees, **rare_classes):
    target = CityscapesDomain(trees.cityscapes(4), labelled=False, pipeline=PIPELINE)
    return UDADataset(GTA5Domain(gta5, pipeline=PIPELINE), target, rare_classes=rare_classes, seed=3)


def pixels_of(packed, train_id):
    return int((packed['data_samples'].gt_sem_seg.data == train_id).sum())


def test_classes_and_images_come_as_often_as_they_should(gta5):
    rare = RareClassSampling(GTA5Domain(gta5), temperature=0.5)
    drawn = [rare.draw(0, counter) for counter in range(4000)]
    counts = {ROAD: 5 * 768 - 768 - 33, SIDEWALK: 768, CAR: 1, BICYCLE: 32}
    weight = {c: np.exp((1 - n / 3840) / 0.5) for c, n in counts.items()}
    shows = {ROAD: range(5), SIDEWALK: (1, 2), CAR: (4, ), BICYCLE: (3, 4)}
    for c, images in shows.items():
        share = weight[c] / sum(weight.values())
        own = [image for image, train_id in drawn if train_id == c]
        assert len(own) / 4000 == pytest.approx(share, abs=0.03) and rare.probabilities[c] == pytest.approx(share)
        assert set(own) == set(images)
        for image in images:
            assert own.count(image) / len(own) == pytest.approx(1 / len(images), abs=0.08)
    assert rare.probabilities.sum() == pytest.approx(1) and len(rare.probabilities) == 19
    assert rare.describe()['probabilities']['car'] == round(rare.probabilities[CAR], 4)


def test_a_class_that_no_image_shows_well_enough_is_never_drawn(gta5):
    rare = RareClassSampling(GTA5Domain(gta5), temperature=0.5, min_pixels=2)
    assert rare.probabilities[CAR] == 0 and len(rare.images[CAR]) == 0
    weight = np.exp([(1 - n / 3840) / 0.5 for n in (3039, 768, 32)])  # shares are of all pixels, the car's too
    np.testing.assert_allclose(rare.probabilities[[ROAD, SIDEWALK, BICYCLE]], weight / weight.sum())
    with pytest.raises(ValueError, match='no image has 1000 pixels of any class'):
        RareClassSampling(GTA5Domain(gta5), min_pixels=1000)


def test_however_cold_a_class_remains():
    # exp((1 - f) / T) of the only class that can be drawn would be nothing beside that of the rarest.
    probabilities = rare_class_probabilities([999, 1], 1e-4, drawable=[True, False])
    assert probabilities.tolist() == [1, 0]
    with pytest.raises(ValueError, match='expected True for a class that occurs'):
        rare_class_probabilities([5, 0], drawable=[False, True])


def test_a_draw_is_a_function_of_seed_and_counter_whatever_the_world_size(gta5, trees, monkeypatch):
    data = uda(gta5, trees, temperature=0.5)
    state = np.random.get_state()[1].copy()
    alone = [data.domain_index('source', counter) for counter in range(40)]
    assert alone == [data.domain_index('source', counter) for counter in range(40)]
    assert np.array_equal(np.random.get_state()[1], state)
    by_rank = {}
    for rank in range(2):
        monkeypatch.setattr('udatools.datasets.samplers.get_dist_info', lambda rank=rank: (rank, 2))
        counters = iter(CounterSampler(data, seed=3))
        by_rank |= {counter: data.domain_index('source', counter) for counter in (next(counters) for _ in range(20))}
    assert [by_rank[counter] for counter in range(40)] == alone
    data.set_seed(4)
    assert [data.domain_index('source', counter) for counter in range(40)] != alone


def test_augmentation_is_drawn_until_enough_is_left(gta5, trees):
    data = uda(gta5, trees, temperature=0.001, min_pixels=16, min_crop_pixels=10, attempts=4)
    source, attempts_needed = data.domains['source'], []
    for counter in range(30):
        index, train_id = data.rare_classes.draw(3, counter)
        assert train_id == BICYCLE  # so cold that nothing else comes
        for attempt in range(4):
            with scoped_rng(3, 'augmentation', 'source', counter, *([attempt] if attempt else [])):
                expected = source[index]
            if pixels_of(expected, BICYCLE) >= 10:
                break
        packed, tags = data.load('source', counter)
        assert torch.equal(packed['inputs'], expected['inputs'])
        assert tags == (3, 'augmentation', 'source', counter, *([attempt] if attempt else []))
        assert torch.equal(data[counter]['inputs']['source'], expected['inputs'])
        attempts_needed.append(attempt)
    assert len(set(attempts_needed)) > 2 and 0 in attempts_needed  # the first attempt draws what it always drew
    assert any(pixels_of(data.load('source', counter)[0], BICYCLE) < 10 for counter in range(30))  # the last is taken anyway
    again = attempts_needed.index(max(attempts_needed))
    assert walk(data, 'source', again)[-1][1].shape == (12, 12, 3)  # raises if it is not what training gets


def test_the_target_and_runs_without_rare_classes_are_as_they_were(gta5, trees):
    rare = uda(gta5, trees)
    plain = UDADataset(rare.source, rare.target, seed=3)
    for counter in range(6):
        assert torch.equal(rare[counter]['inputs']['target'], plain[counter]['inputs']['target'])
        with scoped_rng(3, 'augmentation', 'source', counter):
            expected = plain.source[plain.domain_index('source', counter)]
        assert torch.equal(plain[counter]['inputs']['source'], expected['inputs'])
    assert len(rare) == len(plain) and 'rare_classes' in rare.describe() and 'rare_classes' not in plain.describe()


def test_statistics_from_a_file_are_the_counted_ones(gta5, tmp_path):
    data = GTA5Domain(gta5)
    count_classes(data).save(tmp_path / 'class_statistics.json')
    read = RareClassSampling(data, statistics=str(tmp_path / 'class_statistics.json'))
    assert ClassStatistics.load(tmp_path / 'class_statistics.json').pixels[BICYCLE] == 32
    np.testing.assert_array_equal(read.probabilities, RareClassSampling(data).probabilities)
    with pytest.raises(ValueError, match='the data set has other images'):
        RareClassSampling(GTA5Domain(gta5, max_items=3), statistics=str(tmp_path / 'class_statistics.json'))
    with pytest.raises(FileNotFoundError, match='tools/dataset_converters'):
        RareClassSampling(data, statistics=str(tmp_path / 'none.json'))


def test_clips_are_judged_by_their_key_frames(trees):
    root = trees.viper(clips=1, frames=3)
    for frame in range(1, 4):
        label = np.full((24, 32), 3, np.uint8)
        if frame == 2:
            label[:] = 24  # a car in one frame
        trees.write(root / 'train' / 'cls' / '001' / f'001_{frame:05d}.png', label)
    source = ClipDataset(dict(type='VIPERDomain', data_root=str(root), classes='viper15'), frame_offsets=(0, -1),
                         pipeline=[dict(type='LoadClip'), dict(type='PackClipInputs')])
    data = UDADataset(source, rare_classes=dict(temperature=0.1, min_crop_pixels=1))
    car = source.metainfo['classes'].index('car')
    assert source.keys == ['001/001_00002', '001/001_00003']  # frame 1 has none before it
    drawn = {counter: data.rare_classes.draw(0, counter) for counter in range(30)}
    of_car = [counter for counter, (_, train_id) in drawn.items() if train_id == car]
    assert of_car and all(source.keys[drawn[counter][0]] == '001/001_00002' for counter in of_car)
    label = data[of_car[0]]['data_samples']['source'].gt_sem_seg.data
    assert label.shape == (2, 24, 32) and (label[0] == car).all() and (label[1] == 0).all()
    after = source[1]  # the car is in its reference, not in its key frame
    assert (after['data_samples'].gt_sem_seg.data[1] == car).all() and not data.rare_classes.is_left(after, car)


def test_what_is_wrong_is_named(gta5, trees, tmp_path):
    with pytest.raises(ValueError, match='rare_classes without a source'):
        UDADataset(target=CityscapesDomain(trees.cityscapes(2), labelled=False), rare_classes={})
    with pytest.raises(ValueError, match='labelled=False'):
        UDADataset(GTA5Domain(gta5, labelled=False, label_dir=tmp_path), rare_classes={})
    with pytest.raises(ValueError, match='attempts=0'):
        RareClassSampling(GTA5Domain(gta5), attempts=0)
    with pytest.raises(ValueError, match='temperature=0'):
        RareClassSampling(GTA5Domain(gta5), temperature=0)
