# SPDX-License-Identifier: Apache-2.0
"""Protocols as data: which classes a published number is about."""
import pytest

from udatools.datasets.taxonomies import get_class_set
from udatools.evaluation import get_protocol, list_protocols

CITYSCAPES = get_class_set('cityscapes19').classes


def test_sizes_and_names():
    sizes = dict(cityscapes19=19, synthia16=16, synthia13=13, viper15=15, camvid11=11, davsn15=15,
                 synthiaseq12=12, synthiaseq11=11)
    assert {name: len(get_protocol(name).classes) for name in list_protocols()} == sizes
    for name in ('cityscapes19', 'synthia16', 'synthia13', 'camvid11', 'viper15', 'davsn15', 'synthiaseq12', 'synthiaseq11'):
        assert get_protocol(name).classes == get_class_set(name).classes
    left_out = {name: set(CITYSCAPES) - set(get_protocol(name).classes) for name in sizes}
    assert left_out['synthia16'] == {'terrain', 'truck', 'train'}
    assert left_out['synthia13'] == {'terrain', 'truck', 'train', 'wall', 'fence', 'pole'}
    assert left_out['viper15'] == {'wall', 'rider', 'train', 'bicycle'}
    assert left_out['synthiaseq12'] == {'wall', 'terrain', 'truck', 'bus', 'train', 'motorcycle', 'bicycle'}
    assert left_out['synthiaseq11'] == left_out['synthiaseq12'] | {'fence'}
    assert left_out['davsn15'] == {'wall', 'rider', 'train', 'pole'}


def test_davsn_merges_rider_into_person_only():
    members = get_protocol('davsn15').members
    assert members['person'] == ('person', 'rider')
    assert all(names == (name, ) for name, names in members.items() if name != 'person')


@pytest.mark.parametrize('name', list_protocols())
def test_no_model_class_counts_twice(name):
    names = [member for members in get_protocol(name).members.values() for member in members]
    assert len(names) == len(set(names))


def test_assignment():
    protocol = get_protocol('davsn15')
    assignment = protocol.assignment(CITYSCAPES)
    person = protocol.classes.index('person')
    assert assignment[CITYSCAPES.index('person')] == assignment[CITYSCAPES.index('rider')] == person
    assert assignment[CITYSCAPES.index('wall')] == assignment[CITYSCAPES.index('pole')] == 15
    assert get_protocol('cityscapes19').assignment(CITYSCAPES) == list(range(19))
    with pytest.raises(ValueError, match='camvid11.*lacks.*choose one of: cityscapes19'):
        get_protocol('camvid11').assignment(CITYSCAPES)
