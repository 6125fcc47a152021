# SPDX-License-Identifier: Apache-2.0
"""The published CamVid with its 32 colours, and its two readings as 11 classes."""
import json

import cv2
import numpy as np
import pytest

from udatools.datasets import CamVidDomain, DatasetLayoutError
from udatools.datasets.preparation import CamVid32, ClassStatistics, check_source, prepare_source
from udatools.datasets.preparation.camvid32 import IMAGES, LABELS, colour_table, decode_colours, load_tables, split_of

# Colours of the published label_colors.txt and the usual grouping, written out a second time: RGB, exact id, merged id.
TABLE = {
    'Animal': ((64, 128, 64), 11, 9), 'Archway': ((192, 0, 128), 11, 1), 'Bicyclist': ((0, 128, 192), 10, 10),
    'Bridge': ((0, 128, 64), 11, 1), 'Building': ((128, 0, 0), 1, 1), 'Car': ((64, 0, 128), 8, 8),
    'CartLuggagePram': ((64, 0, 192), 11, 9), 'Child': ((192, 128, 64), 11, 9), 'Column_Pole': ((192, 192, 128), 2, 2),
    'Fence': ((64, 64, 128), 7, 7), 'LaneMkgsDriv': ((128, 0, 192), 11, 3), 'LaneMkgsNonDriv': ((192, 0, 64), 11, 3),
    'Misc_Text': ((128, 128, 64), 11, 6), 'MotorcycleScooter': ((192, 0, 192), 11, 10), 'OtherMoving': ((128, 64, 64), 11, 8),
    'ParkingBlock': ((64, 192, 128), 11, 4), 'Pedestrian': ((64, 64, 0), 9, 9), 'Road': ((128, 64, 128), 3, 3),
    'RoadShoulder': ((128, 128, 192), 11, 4), 'Sidewalk': ((0, 0, 192), 4, 4), 'SignSymbol': ((192, 128, 128), 6, 6),
    'Sky': ((128, 128, 128), 0, 0), 'SUVPickupTruck': ((64, 128, 192), 11, 8), 'TrafficCone': ((0, 0, 64), 11, 2),
    'TrafficLight': ((0, 64, 64), 11, 6), 'Train': ((192, 64, 128), 11, 8), 'Tree': ((128, 128, 0), 5, 5),
    'Truck_Bus': ((192, 128, 192), 11, 8), 'Tunnel': ((64, 0, 64), 11, 1), 'VegetationMisc': ((192, 192, 0), 11, 5),
    'Void': ((0, 0, 0), 11, 11), 'Wall': ((64, 192, 0), 11, 1),
}
NAMES = list(TABLE)
STEMS = {'train': ['0001TP_006690', '0006R0_f00930', '0016E5_07920', '0016E5_08190'], 'val': ['0016E5_07959', '0016E5_08159'],
         'test': ['0001TP_008550', 'Seq05VD_f05100']}


@pytest.fixture
def published(tmp_path):
    """A tiny published release; returns (root, {stem: index map into NAMES})."""
    root, maps = tmp_path / 'camvid32', {}
    for folder in (IMAGES, LABELS):
        (root / folder).mkdir(parents=True)
    for i, stem in enumerate(sum(STEMS.values(), [])):
        rng = np.random.default_rng(i)
        maps[stem] = rng.integers(0, 32, (12, 16))
        rgb = np.array([colour for colour, _, _ in TABLE.values()], np.uint8)[maps[stem]]
        assert cv2.imwrite(str(root / LABELS / f'{stem}_L.png'), rgb[..., ::-1])
        assert cv2.imwrite(str(root / IMAGES / f'{stem}.png'), rng.integers(0, 256, (12, 16, 3), np.uint8))
    return root, maps


def expected(index, reading):
    column = {'exact': 1, 'merged': 2}[reading]
    return np.array([TABLE[name][column] for name in NAMES], np.uint8)[index]


def test_tables_are_the_published_colours_and_both_readings():
    tables = load_tables()
    assert {name: tuple(colour) for name, colour in tables['colours'].items()} == {name: row[0] for name, row in TABLE.items()}
    assert len(TABLE) == 32 == len({row[0] for row in TABLE.values()})
    exact, merged = tables['readings']['exact'], tables['readings']['merged']
    assert len(exact) == 11 and set(merged) == set(TABLE) - {'Void'}
    assert all(merged[name] == exact[name] for name in exact)  # merging only adds
    codes, _ = colour_table('exact')
    assert (np.diff(codes) > 0).all()


@pytest.mark.parametrize('reading', ['exact', 'merged'])
def test_conversion(reading, published, tmp_path):
    root, maps = published
    out = tmp_path / 'out'
    for split in STEMS:
        records = prepare_source(CamVid32(root, split=split, reading=reading, out=out), out / 'about' / split)
        assert [record.key for record in records] == sorted(STEMS[split]) and all(record.good for record in records)
        for stem in STEMS[split]:
            label = cv2.imread(str(out / f'{split}annot' / f'{stem}.png'), cv2.IMREAD_UNCHANGED)
            assert label.dtype == np.uint8 and np.array_equal(label, expected(maps[stem], reading))
            assert (out / split / f'{stem}.png').read_bytes() == (root / IMAGES / f'{stem}.png').read_bytes()
        data = CamVidDomain(out, split=split, classes='camvid11')
        assert data.keys == sorted(STEMS[split])
        statistics = ClassStatistics.load(out / 'about' / split / 'class_statistics.json')
        statistics.check(data)
        for key in data.keys:
            values, pixels = np.unique(data.load_label(key), return_counts=True)
            assert statistics.images[key] == dict(zip(values.tolist(), pixels.tolist()))
    conversion = json.loads((out / 'conversion.json').read_text())
    assert conversion['reading'] == reading and conversion['mapping']['Car'] == 'car'


def test_the_readings_differ_where_they_should(published):
    root, maps = published
    stem = STEMS['val'][0]
    picture = cv2.imread(str(root / LABELS / f'{stem}_L.png'))
    exact, merged = (decode_colours(picture, reading) for reading in ('exact', 'merged'))
    for name, (_, one, two) in TABLE.items():
        where = maps[stem] == NAMES.index(name)
        assert (exact[where] == (255 if one == 11 else one)).all() and (merged[where] == (255 if two == 11 else two)).all()
    assert ((exact == merged) | (exact == 255)).all() and (exact != merged).any()


def test_another_reading_into_the_same_folder_is_refused(published, tmp_path):
    root, _ = published
    out = tmp_path / 'out'
    prepare_source(CamVid32(root, split='train', reading='exact', out=out), out / 'a')
    with pytest.raises(ValueError, match="reading 'exact'.*'merged'.*--out"):
        prepare_source(CamVid32(root, split='val', reading='merged', out=out), out / 'b')
    with pytest.raises(ValueError, match='size None.*8, 6.*--out'):
        prepare_source(CamVid32(root, split='val', reading='exact', out=out, size=(8, 6)), out / 'b')
    assert not (out / 'val').exists()


def test_resizing(published, tmp_path):
    root, maps = published
    out = tmp_path / 'out'
    stem = STEMS['train'][0]
    records = prepare_source(CamVid32(root, split='train', reading='merged', out=out, size=(8, 6)), out / 'about')
    image = cv2.imread(str(out / 'train' / f'{stem}.png'))
    label = cv2.imread(str(out / 'trainannot' / f'{stem}.png'), cv2.IMREAD_UNCHANGED)
    assert image.shape == (6, 8, 3) and label.shape == (6, 8)
    full = cv2.imread(str(root / IMAGES / f'{stem}.png')).astype(float)
    assert np.abs(image - full.reshape(6, 2, 8, 2, 3).mean((1, 3))).max() <= 1  # area
    assert np.array_equal(label, expected(maps[stem], 'merged')[1::2, 1::2])  # nearest, no class is invented
    assert sum(next(record for record in records if record.key == stem).counts.values()) == 48  # of what was written


def test_an_unknown_colour_is_a_bad_pair_and_a_gap(published, tmp_path):
    root, _ = published
    stem = STEMS['val'][1]
    path = root / LABELS / f'{stem}_L.png'
    picture = cv2.imread(str(path))
    picture[0, :2] = (3, 2, 1)  # BGR
    cv2.imwrite(str(path), picture)
    out = tmp_path / 'out'
    source = CamVid32(root, split='val', reading='merged', out=out)
    good, bad = prepare_source(source, out / 'about')
    assert good.good and bad.problems[0][0] == 'label ids'
    assert '2 pixels' in bad.problems[0][1] and '(1, 2, 3)' in bad.problems[0][1]
    assert CamVidDomain(out, split='val', classes='camvid11').keys == [good.key]
    assert path.exists() and not (out / 'val' / f'{stem}.png').exists()


def test_a_converted_file_that_is_gone_is_made_again(published, tmp_path):
    root, _ = published
    out = tmp_path / 'out'
    source = CamVid32(root, split='val', reading='merged', out=out)
    prepare_source(source, out / 'about')
    first = {path: path.read_bytes() for path in (out / 'valannot').iterdir()}
    next(iter(first)).unlink()
    prepare_source(source, out / 'about')
    assert {path: path.read_bytes() for path in (out / 'valannot').iterdir()} == first


def test_check_writes_nothing(published, tmp_path, tree):
    root, _ = published
    before = tree(tmp_path)
    assert all(record.good for record in check_source(CamVid32(root, split='val', reading='exact', out=tmp_path / 'out')))
    assert tree(tmp_path) == before


def test_splits(published, tmp_path):
    assert {stem: split_of(stem) for stems in STEMS.values() for stem in stems} == {
        stem: split for split, stems in STEMS.items() for stem in stems}
    assert split_of('0001TP_008520') == 'train' and split_of('holiday') is None and split_of('0007XX_000010') is None
    root, _ = published
    (root / 'val.txt').write_text('0001TP_006690\n0016E5_07920.png\n')
    source = CamVid32(root, split='val', reading='exact', out=tmp_path)
    assert [pair.key for pair in source.pairs()] == ['0001TP_006690', '0016E5_07920']
    (root / 'val.txt').write_text('nowhere\n')
    with pytest.raises(DatasetLayoutError, match='names 1 images'):
        source.pairs()
    (root / IMAGES / 'holiday.png').write_bytes(b'')
    with pytest.raises(ValueError, match='holiday.*train.txt'):
        CamVid32(root, split='train', reading='exact', out=tmp_path).pairs()


def test_split_is_that_of_the_segnet_release(real_data_root):
    for split, count in (('train', 367), ('val', 101)):
        stems = [path.stem for path in (real_data_root / 'camvid' / split).iterdir()]
        assert len(stems) == count and {split_of(stem) for stem in stems} == {split}


def test_errors(tmp_path, published):
    with pytest.raises(DatasetLayoutError, match='701_StillsRaw_full does not exist[\\s\\S]*Expected layout'):
        CamVid32(tmp_path, split='train', reading='exact', out=tmp_path)
    with pytest.raises(ValueError, match="reading 'both'.*exact, merged"):
        CamVid32(published[0], split='train', reading='both', out=tmp_path)
    with pytest.raises(ValueError, match="split='trainval'"):
        CamVid32(published[0], split='trainval', reading='exact', out=tmp_path)
