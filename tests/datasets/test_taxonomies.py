# SPDX-License-Identifier: Apache-2.0
"""Label maps against the published numbers, written out here a second time."""
import numpy as np
import pytest

from udatools.datasets.taxonomies import (
    find_class_set,
    get_class_set,
    get_label_lut,
    get_label_map,
    identity_lut,
    list_class_sets,
    list_taxonomies,
)


def parse(text):
    return {int(a): int(b) for a, b in (pair.split(':') for pair in text.split())}


GTA5 = parse('7:0 8:1 11:2 12:3 13:4 17:5 19:6 20:7 21:8 22:9 23:10 24:11 25:12 26:13 27:14 28:15 31:16 32:17 33:18')
SYNTHIA = parse('3:0 4:1 2:2 21:3 5:4 7:5 15:6 9:7 6:8 16:9 1:10 10:11 17:12 8:13 18:14 19:15 20:16 12:17 11:18')
CARLA_CAMVID = parse('1:1 2:7 4:9 5:2 6:3 7:3 8:4 9:5 10:8 11:1 12:6 13:0 15:1 17:7 18:6 22:5')
SYNTHIA_CAMVID = parse('1:0 2:1 3:3 4:4 5:7 6:5 7:2 8:8 9:6 10:9 11:10 12:10 15:6 16:5 17:10 18:8 19:8 20:8 21:1 22:3')
CARLA_19 = parse('1:2 2:4 4:11 5:5 6:0 7:0 8:1 9:8 10:13 11:3 12:7 13:10 18:6 22:9')
VIPER = parse('2:10 3:0 4:1 6:9 7:8 8:8 9:2 10:5 11:4 13:6 14:7 20:11 22:18 23:17 24:13 25:13 26:15 27:14 29:16')
SYNTHIA_SEQ = parse('1:10 2:2 3:0 4:1 5:4 6:8 7:5 8:13 9:7 10:11 11:12 15:6')
# Positions in the lists of the papers: VIPER to Cityscapes-VPS (Tables 1 and 2), DA-VSN (its public class lists).
VIPER_15 = parse('3:0 4:1 9:2 11:3 10:4 13:5 14:6 7:7 8:7 6:8 2:9 20:10 24:11 25:11 27:12 26:13 23:14')
VPS_15 = parse('7:0 8:1 11:2 13:3 17:4 19:5 20:6 21:7 22:8 23:9 24:10 26:11 27:12 28:13 32:14')
VIPER_DAVSN = parse('3:0 4:1 9:2 11:3 13:4 14:5 7:6 8:6 6:7 2:8 20:9 24:10 25:10 27:11 26:12 23:13 22:14')
CITYSCAPES_DAVSN = parse('7:0 8:1 11:2 13:3 19:4 20:5 21:6 22:7 23:8 24:9 25:9 26:10 27:11 28:12 32:13 33:14')
CITYSCAPES_SEQ12 = parse('7:0 8:1 11:2 13:3 17:4 19:5 20:6 21:7 23:8 24:9 25:10 26:11')
SYNTHIA_SEQ12 = parse('3:0 4:1 2:2 5:3 7:4 15:5 9:6 6:7 1:8 10:9 11:10 8:11')
SYNTHIA_SEQ11 = parse('3:0 4:1 2:2 7:3 15:4 9:5 6:6 1:7 10:8 11:9 8:10')
CAMVID_19 = parse('0:10 1:2 2:5 3:0 4:1 5:8 6:7 7:4 8:13 9:11 10:18')


def as_ids(lut):
    return {raw: int(train) for raw, train in enumerate(lut) if 0 <= train < 255}


@pytest.mark.parametrize('taxonomy, class_set, expected', [
    ('gta5', 'cityscapes19', GTA5),
    ('cityscapes', 'cityscapes19', GTA5),
    ('cityscapes_trainids', 'cityscapes19', {i: i for i in range(19)}),
    ('synthia', 'cityscapes19', SYNTHIA),
    ('synthia', 'camvid11', SYNTHIA_CAMVID),
    ('carla', 'camvid11', CARLA_CAMVID),
    ('carla', 'cityscapes19', CARLA_19),
    ('camvid', 'camvid11', {i: i for i in range(11)}),
    ('camvid', 'cityscapes19', CAMVID_19),
    ('viper', 'cityscapes19', VIPER),
    ('viper', 'viper15', VIPER_15),
    ('cityscapes', 'viper15', VPS_15),
    ('viper', 'davsn15', VIPER_DAVSN),
    ('cityscapes', 'davsn15', CITYSCAPES_DAVSN),
    ('cityscapes_trainids', 'davsn15', parse('0:0 1:1 2:2 4:3 6:4 7:5 8:6 9:7 10:8 11:9 12:9 13:10 14:11 15:12 17:13 18:14')),
    ('synthia_seq', 'cityscapes19', SYNTHIA_SEQ),
    ('synthia_seq', 'synthiaseq12', SYNTHIA_SEQ12),
    ('synthia_seq', 'synthiaseq11', SYNTHIA_SEQ11),
    ('cityscapes', 'synthiaseq12', CITYSCAPES_SEQ12),
])
def test_map_against_published_ids(taxonomy, class_set, expected):
    assert as_ids(get_label_lut(taxonomy, class_set)) == expected


@pytest.mark.parametrize('taxonomy, ids', [('gta5', GTA5), ('cityscapes', GTA5), ('synthia', SYNTHIA)])
@pytest.mark.parametrize('class_set, dropped', [('synthia16', {9, 14, 16}), ('synthia13', {9, 14, 16, 3, 4, 5})])
def test_subsets_follow_by_name(taxonomy, ids, class_set, dropped):
    kept = [i for i in range(19) if i not in dropped]
    expected = {raw: kept.index(train) for raw, train in ids.items() if train in kept}
    assert as_ids(get_label_lut(taxonomy, class_set)) == expected


@pytest.mark.parametrize('taxonomy, highest', [('gta5', 34), ('cityscapes', 33), ('synthia', 22), ('carla', 22),
                                               ('camvid', 11), ('cityscapes_trainids', 18), ('viper', 31),
                                               ('synthia_seq', 15)])
def test_ids_that_the_data_set_does_not_define_are_told_from_ignored_ones(taxonomy, highest):
    class_set = 'camvid11' if taxonomy in ('carla', 'camvid') else 'cityscapes19'
    lut = get_label_lut(taxonomy, class_set)
    assert lut.shape == (256, ) and lut.dtype == np.int16
    assert (lut[:highest + 1] >= 0).all() and (lut[highest + 1:255] == -1).all() and lut[255] == 255


def test_class_sets():
    sizes = {'cityscapes19': 19, 'synthia16': 16, 'synthia13': 13, 'camvid11': 11, 'viper15': 15, 'davsn15': 15,
             'synthiaseq12': 12, 'synthiaseq11': 11}
    assert {name: len(get_class_set(name)) for name in list_class_sets()} == sizes
    for name in list_class_sets():
        one = get_class_set(name)
        assert len(one.classes) == len(one.palette) == len(set(one.classes)) == len(set(one.palette))
        assert find_class_set(one.classes) == name
    assert get_class_set('camvid11').classes == ('sky', 'building', 'pole', 'road', 'sidewalk', 'vegetation', 'sign',
                                                 'fence', 'car', 'pedestrian', 'bicyclist')
    from mmseg.utils import get_classes, get_palette
    assert list(get_class_set('cityscapes19').classes) == get_classes('cityscapes')
    assert [list(color) for color in get_class_set('cityscapes19').palette] == get_palette('cityscapes')
    assert find_class_set(['road']) is None


def test_every_map_names_classes_of_its_set():
    for taxonomy in list_taxonomies():
        for class_set in list_class_sets():
            try:
                mapping = get_label_map(taxonomy, class_set)
            except KeyError:
                continue
            assert mapping and set(mapping.values()) <= set(get_class_set(class_set).classes)


def test_unknown_names_say_what_there_is():
    with pytest.raises(KeyError, match='cityscapes20.*choose one of cityscapes19'):
        get_class_set('cityscapes20')
    with pytest.raises(KeyError, match='choose one of camvid'):
        get_label_map('mapillary', 'cityscapes19')
    with pytest.raises(KeyError, match='no label map from gta5 to camvid11.*cityscapes19'):
        get_label_lut('gta5', 'camvid11')


def test_a_merge_is_never_left_out_silently():
    """davsn15 merges rider into person, so a data set without a map of its own to it is refused instead of losing riders."""
    for taxonomy in ('gta5', 'synthia', 'synthia_seq'):
        with pytest.raises(KeyError, match='no label map.*davsn15'):
            get_label_lut(taxonomy, 'davsn15')


def test_identity_lut():
    lut = identity_lut(3)
    assert lut[:3].tolist() == [0, 1, 2] and lut[255] == 255 and (lut[3:255] == -1).all()
