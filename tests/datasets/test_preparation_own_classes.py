# SPDX-License-Identifier: Apache-2.0
"""Classes and label maps of one's own: inline, as a file, by raw id and by raw name."""
import json
import pickle

import numpy as np
import pytest
import torch
from mmengine.config import Config

from udatools.datasets import CityscapesDomain, GTA5Domain, ImageFolderDomain, UDADataset
from udatools.datasets.taxonomies import (
    ClassSet,
    check_label_map,
    get_class_set,
    get_label_lut,
    get_label_map,
    get_raw_names,
    list_class_sets,
    list_taxonomies,
)
from udatools.evaluation import get_protocol
from udatools.evaluation.iou import ProtocolIoUMetric
from udatools.registry import DATASETS

OWN = dict(name='three', classes=['street', 'car', 'rest'])


def apply_by_hand(raw, mapping):
    out = np.full(raw.shape, 255, np.uint8)
    for row in range(raw.shape[0]):
        for column in range(raw.shape[1]):
            out[row, column] = mapping.get(int(raw[row, column]), 255)
    return out


# ---- class sets -----------------------------------------------------------------------------------------------------


def test_inline_file_and_object_are_the_same_set(tmp_path):
    path = tmp_path / 'three.json'
    path.write_text(json.dumps(OWN))
    named = tmp_path / 'other.json'
    named.write_text(json.dumps(dict(classes=OWN['classes'])))  # the name is that of the file
    one = get_class_set(OWN)
    assert get_class_set(str(path)) == one == get_class_set(one) and hash(one) == hash(get_class_set(str(path)))
    assert one.classes == ('street', 'car', 'rest') and len(one) == 3 and one.name == 'three'
    assert get_class_set(str(named)).name == 'other'
    config = Config(dict(classes=OWN))  # a ConfigDict, as configs give it
    assert get_class_set(config.classes) == one


def test_palettes():
    one = get_class_set(OWN)
    assert one.palette[1] == (0, 0, 142)  # the familiar colour of a car
    assert len(set(one.palette)) == 3 and one.palette == get_class_set(dict(OWN)).palette
    assert all(isinstance(value, int) and 0 <= value <= 255 for colour in one.palette for value in colour)
    many = get_class_set(dict(name='many', classes=[f'c{i}' for i in range(200)])).palette
    assert len(set(many)) == 200
    given = get_class_set(dict(OWN, palette=[[1, 2, 3], [4, 5, 6], [7, 8, 9]]))
    assert given.palette == ((1, 2, 3), (4, 5, 6), (7, 8, 9))
    for name in list_class_sets():  # a colour never stands for two classes of one set
        assert len(set(get_class_set(dict(name='copy', classes=list(get_class_set(name).classes))).palette)) == len(
            get_class_set(name))


@pytest.mark.parametrize('change, message', [
    (dict(name=''), 'give it a name'), (dict(name='cityscapes19'), 'has the name of a set of udatools'),
    (dict(classes=[]), 'expected a list of names'), (dict(classes='street'), 'expected a list of names'),
    (dict(classes=['a', 1]), 'expected a list of names'), (dict(classes=['a', 'b', 'a']), 'lists a more than once'),
    (dict(classes=[f'c{i}' for i in range(255)]), 'at most 254'), (dict(palette=[[0, 0, 0]]), r'one \[R, G, B\]'),
    (dict(palette=[[0, 0, 0], [0, 0, 256], [1, 1, 1]]), '0..255'), (dict(colours=[]), "unknown keys .'colours'."),
    (dict(subset_of='cityscapes19'), 'cityscapes19, which has no rest, street'),
])
def test_sets_that_contradict_themselves(change, message):
    with pytest.raises(ValueError, match=message):
        get_class_set(OWN | change)


def test_files_that_are_no_class_set(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.json does not exist'):
        get_class_set(str(tmp_path / 'nowhere.json'))
    (tmp_path / 'bad.json').write_text('{')
    with pytest.raises(ValueError, match='bad.json is no JSON'):
        get_class_set(str(tmp_path / 'bad.json'))
    (tmp_path / 'list.json').write_text('["a"]')
    with pytest.raises(ValueError, match='list.json holds a list'):
        get_class_set(str(tmp_path / 'list.json'))


# ---- label maps -----------------------------------------------------------------------------------------------------


def test_ids_names_and_train_ids_mean_the_same():
    by_id = get_label_lut('gta5', OWN, {7: 'street', 26: 'car', 11: 'rest', 21: 'ignore'})
    assert np.array_equal(by_id, get_label_lut('gta5', OWN, {'road': 'street', 'car': 'car', 'building': 'rest'}))
    assert np.array_equal(by_id, get_label_lut('gta5', OWN, {'7': 0, '26': 1, 'building': 2, 'sky': 255, 'person': None}))
    assert np.array_equal(by_id, get_label_lut('gta5', OWN, check_label_map({7: 0, 26: 1, 11: 2}, OWN, 'gta5')))
    assert by_id[[7, 26, 11, 21, 0, 34, 255]].tolist() == [0, 1, 2, 255, 255, 255, 255]
    assert (by_id[35:255] == -1).all()  # what GTA5 does not define stays an error


@pytest.mark.parametrize('taxonomy', list_taxonomies())
def test_raw_names_are_unique(taxonomy):
    names = list(get_raw_names(taxonomy).values())
    assert len(names) == len(set(names))  # a label map by name is unambiguous


@pytest.mark.parametrize('label_map, message', [
    ({'road': 'lane'}, "'road' to 'lane'; three has street, car, rest"), ({'road': 3}, r'train ids 0\.\.2'),
    ({'highway': 'street'}, "'highway', which gta5 does not have; its ids are 0 unlabeled"), ({99: 'street'}, '99, which gta5'),
    ({7: 'street', 'road': 'rest'}, 'twice'), ({300: 'street'}, 'raw id 300'), ({}, 'expected {raw id: class'),
    ([7], 'expected {raw id: class'),
])
def test_maps_that_cannot_be(label_map, message):
    with pytest.raises(ValueError, match=message):
        check_label_map(label_map, OWN, 'gta5')


def test_names_need_a_data_set_that_has_them():
    with pytest.raises(ValueError, match='ids of this data set have no names'):
        check_label_map({'road': 'street'}, OWN)
    with pytest.raises(KeyError, match='no label map from gta5 to three.*label_map='):
        get_label_map('gta5', OWN)


def test_subset_of_a_named_set():
    four = dict(name='four', classes=['car', 'sky', 'road', 'person'], subset_of='cityscapes19')
    assert get_label_map('gta5', four) == {7: 'road', 23: 'sky', 24: 'person', 26: 'car'}
    assert get_label_lut('synthia', four)[[1, 3, 8, 10, 2]].tolist() == [1, 2, 0, 3, 255]


# ---- data sets ------------------------------------------------------------------------------------------------------


def test_gta5_with_own_classes(trees):
    root = trees.gta5()
    data = GTA5Domain(root, classes=OWN, label_map={'road': 'street', 'sidewalk': 'street', 'bicycle': 'rest'})
    raw = trees.labels(1, (0, 7, 8, 33, 34))
    assert np.array_equal(data.load_label('00002'), apply_by_hand(raw, {7: 0, 8: 0, 33: 2}))
    assert data.metainfo['classes'] == ['street', 'car', 'rest'] and data.metainfo['class_set'] == 'three'
    assert data.describe()['classes'] == 'three' and data.describe()['num_classes'] == 3
    assert np.array_equal(pickle.loads(pickle.dumps(data)).load_label('00002'), data.load_label('00002'))
    with pytest.raises(KeyError, match='no label map from gta5 to three'):
        GTA5Domain(root, classes=OWN)
    assert len(GTA5Domain(root, classes=OWN, labelled=False)) == 5  # no label is read, so no map is needed
    with pytest.raises(ValueError, match="'asphalt', which gta5"):
        GTA5Domain(root, classes=OWN, label_map={'asphalt': 'street'})


@pytest.mark.parametrize('kind, raw', [('labelIds', (0, 7, 8, 26)), ('labelTrainIds', (255, 0, 1, 13))])
def test_cityscapes_has_two_kinds_of_ids_for_one_map(kind, raw, trees):
    """The map speaks of the data set's ids or names; in train-id files the same names have other numbers."""
    root = trees.cityscapes(kind=kind, raw=raw)
    for label_map in ({'road': 'street', 'car': 'car', 'parking': 'rest'}, {7: 'street', 26: 'car', 9: 'rest'}):
        data = CityscapesDomain(root, classes=OWN, label_map=label_map)
        label = data.load_label('city0/city0_000000_000000_leftImg8bit')
        assert np.array_equal(label, apply_by_hand(trees.labels(50, raw), {raw[1]: 0, raw[3]: 1}))


def test_image_folder_with_ids_of_its_own(trees, tmp_path):
    trees.write(tmp_path / 'shots' / 'a.png', trees.picture(1))
    raw = trees.labels(1, (0, 3, 40, 255))
    trees.write(tmp_path / 'truth' / 'a.png', raw)
    make = lambda label_map: ImageFolderDomain(  # noqa: E731
        tmp_path / 'shots', label_root=tmp_path / 'truth', classes=OWN, label_map=label_map)
    assert np.array_equal(make({0: 'ignore', 3: 'car', 40: 'street'}).load_label('a'), apply_by_hand(raw, {3: 1, 40: 0}))
    masks = make({0: 'rest', 3: 'rest', 40: 'rest', 255: 'street'})  # masks that are 0 or 255
    assert np.array_equal(masks.load_label('a'), apply_by_hand(raw, {0: 2, 3: 2, 40: 2, 255: 0}))
    with pytest.raises(ValueError, match=r'holds label ids \[40\]'):
        make({0: 'ignore', 3: 'car'}).load_label('a')
    for none in (None, {}):
        with pytest.raises(ValueError, match=r'holds label ids \[3, 40\]'):
            make(none).load_label('a')


def test_through_a_config_file(trees, tmp_path):
    """Integer keys survive mmengine's configs, in both directions."""
    path = tmp_path / 'own.py'
    path.write_text(f'data = dict(type="GTA5Domain", data_root={str(trees.gta5())!r}, classes={OWN!r}, '
                    'label_map={7: "street", 33: "rest"}, pipeline=[])')
    cfg = Config.fromfile(path)
    cfg.dump(str(tmp_path / 'again.py'))
    raw = trees.labels(0, (0, 7, 8, 33, 34))
    for file in (path, tmp_path / 'again.py'):
        label = DATASETS.build(Config.fromfile(file).data).load_label('00001')
        assert np.array_equal(label, apply_by_hand(raw, {7: 0, 33: 2}))


def test_two_domains_with_the_same_own_classes(trees):
    source = GTA5Domain(trees.gta5(), classes=OWN, label_map={7: 'street'})
    target = CityscapesDomain(trees.cityscapes(), classes=dict(OWN), labelled=False)
    assert UDADataset(source, target).metainfo['classes'] == OWN['classes']
    other = CityscapesDomain(trees.cityscapes(), classes=dict(name='four', classes=['street', 'car']), labelled=False)
    with pytest.raises(ValueError, match='target lacks rest|missing rest'):
        UDADataset(source, other)


# ---- evaluation -----------------------------------------------------------------------------------------------------


def test_own_classes_are_a_protocol(tmp_path):
    path = tmp_path / 'three.json'
    path.write_text(json.dumps(OWN))
    for spec in (OWN, str(path), get_class_set(OWN)):
        protocol = get_protocol(spec)
        assert protocol.name == 'three' and protocol.classes == ('street', 'car', 'rest')
        assert protocol.assignment(['car', 'rest', 'street', 'sky']) == [1, 2, 0, 3]
    assert isinstance(get_class_set(OWN), ClassSet) and get_protocol('camvid11').name == 'camvid11'


def test_metric_of_own_classes():
    metric = ProtocolIoUMetric(protocol=OWN)
    metric.dataset_meta = dict(classes=OWN['classes'])
    prediction, label = torch.tensor([[0, 0, 1, 1, 2]]), torch.tensor([[0, 1, 1, 1, 255]])
    metric.process(None, [dict(pred_sem_seg=dict(data=prediction), gt_sem_seg=dict(data=label))])
    result = metric.evaluate(1)
    assert result['IoU/street'] == pytest.approx(50) and result['IoU/car'] == pytest.approx(200 / 3)
    with pytest.raises(ValueError, match='lacks: rest'):
        metric.dataset_meta = dict(classes=['street', 'car'])
