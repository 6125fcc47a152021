# SPDX-License-Identifier: Apache-2.0
"""Target ground truth has one door: with ``labelled=False`` no label file is listed, stat-ed or opened."""
import builtins
import io
import os

import cv2
import mmengine.fileio
import numpy as np
import pytest

from udatools.datasets import (
    CamVidDomain,
    CARLADomain,
    CityscapesDomain,
    CityscapesSequenceDomain,
    CityscapesVPSDomain,
    GTA5Domain,
    ImageFolderDomain,
    SYNTHIADomain,
    SYNTHIASeqDomain,
    UDADataset,
    VIPERDomain,
)

PIPELINE = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs', meta_keys=('img_path', 'key')),
]
CASES = {
    'gta5': (GTA5Domain, 'cityscapes19', ('labels', )),
    'cityscapes': (CityscapesDomain, 'cityscapes19', ('gtFine', )),
    'synthia': (SYNTHIADomain, 'cityscapes19', ('GT', )),
    'camvid': (CamVidDomain, 'camvid11', ('trainannot', )),
    'carla': (CARLADomain, 'camvid11', ('labels', )),
    'viper': (VIPERDomain, 'viper15', ('cls', )),
    'cityscapes_vps': (CityscapesVPSDomain, 'viper15', ('labelmap', 'panoptic_video', 'cls', 'panoptic_gt_train_city_vps.json')),
    'cityscapes_sequence': (CityscapesSequenceDomain, 'davsn15', ('gtFine', )),
    'synthia_seq': (SYNTHIASeqDomain, 'synthiaseq12', ('GT', )),
}


@pytest.fixture
def spy(monkeypatch):
    """Records every path given to the functions that touch files."""
    seen = []

    def watch(module, name):
        original = getattr(module, name)

        def spying(path='.', *args, **kwargs):
            seen.append(os.fspath(path) if isinstance(path, (str, os.PathLike)) else str(path))
            return original(path, *args, **kwargs)

        monkeypatch.setattr(module, name, spying)

    for module, names in ((builtins, ['open']), (io, ['open']), (cv2, ['imread']), (np, ['fromfile', 'load']),
                          (os, ['stat', 'lstat', 'scandir', 'listdir', 'open', 'access', 'walk']),
                          (os.path, ['exists', 'isfile', 'isdir', 'getsize']), (mmengine.fileio, ['get'])):
        for name in names:
            watch(module, name)
    return seen


def touched(seen, root, folders):
    parts = [os.path.relpath(path, root).split(os.sep) for path in seen if str(path).startswith(str(root))]
    return [part for part in parts if set(part) & set(folders)]


@pytest.mark.parametrize('make', CASES)
def test_unlabelled_never_touches_label_files(make, trees, spy):
    kind, classes, folders = CASES[make]
    root = getattr(trees, make)()
    del spy[:]
    data = kind(root, classes=classes, labelled=False, pipeline=PIPELINE)
    for i in range(len(data)):
        assert (data[i]['data_samples'].gt_sem_seg.data == 255).all()
        assert not {'seg_map_path', 'label_lut'} & set(data.get_data_info(i))
    data.fingerprint(), data.describe()
    with pytest.raises(PermissionError):
        data.label_path(data.keys[0])
    with pytest.raises(PermissionError):
        data.load_label(data.keys[0])
    assert len(spy) > 2 * len(data)  # the spy sees what is read
    assert touched(spy, root, folders) == []


@pytest.mark.parametrize('make', CASES)
def test_the_spy_sees_a_labelled_set(make, trees, spy):
    kind, classes, folders = CASES[make]
    root = getattr(trees, make)()
    data = kind(root, classes=classes, pipeline=PIPELINE)
    del spy[:]
    data[0]
    assert touched(spy, root, folders)


def test_no_label_path_is_even_built(trees, monkeypatch):
    root = trees.cityscapes()

    def forbidden(self, *args):
        raise AssertionError('a label path was built')

    monkeypatch.setattr(CityscapesDomain, 'label_file', forbidden)
    monkeypatch.setattr(CityscapesDomain, 'label_lut', forbidden)
    data = CityscapesDomain(root, labelled=False, pipeline=PIPELINE)
    assert len([data[i] for i in range(len(data))]) == 4
    with pytest.raises(AssertionError):
        CityscapesDomain(root)


def test_uda_training_reads_source_labels_only(trees, tmp_path, spy):
    gta5, cityscapes = trees.gta5(), trees.cityscapes()
    del spy[:]
    data = UDADataset(
        source=GTA5Domain(gta5, pipeline=PIPELINE),
        target=CityscapesDomain(cityscapes, labelled=False, label_dir=tmp_path / 'answers', pipeline=PIPELINE))
    for counter in range(12):
        data[counter]
    assert touched(spy, cityscapes, ('gtFine', )) == []
    assert len(touched(spy, gta5, ('labels', ))) >= 12
    assert any('answers' in path for path in spy)


def test_image_folder_forgets_the_label_root(trees, tmp_path, spy):
    trees.write(tmp_path / 'shots' / 'a.png', trees.picture(0))
    trees.write(tmp_path / 'truth' / 'a.png', trees.labels(0, (0, 1)))
    del spy[:]
    data = ImageFolderDomain(tmp_path / 'shots', label_root=tmp_path / 'truth', labelled=False, pipeline=PIPELINE)
    assert (data[0]['data_samples'].gt_sem_seg.data == 255).all() and data.label_root is None
    assert touched(spy, tmp_path, ('truth', )) == []
