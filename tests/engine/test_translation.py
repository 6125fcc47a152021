# SPDX-License-Identifier: Apache-2.0
"""Translations as files: a function of (seed, key), the same for any number of ranks, and taken up where it was left."""
import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from udatools.datasets import GTA5Domain
from udatools.engine import resumable
from udatools.engine.translation import check_translation, datasets_of_config, load_bgr, plan_translation, translate_source
from udatools.models.domain_transforms import DomainTransform, FourierTransfer, RandomConvolution
from udatools.ops.fourier import fourier_style_transfer
from udatools.utils.png import read_image


class Counting(DomainTransform):
    """Adds the mean of the target image and a random number."""

    def __init__(self):
        self.calls = 0

    def __call__(self, images):
        self.calls += 1
        return dict(images, source=[images['source'][0] * 0 + images['target'][0].mean() + torch.randint(50, (1, ))])


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.fixture
def domains(minidrive_root):
    cfg = Config(dict(train_dataloader=dict(dataset=dict(
        type='UDADataset',
        source=dict(type='GTA5Domain', data_root=str(minidrive_root / 'gta5'), image_dir='{cfg:folder}', classes='cityscapes19'),
        target=dict(type='CityscapesDomain', data_root=str(minidrive_root / 'cityscapes'), labelled=False, label_dir='none'))),
        folder='somewhere'))
    return datasets_of_config(cfg)


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob('*.png'))}


def test_the_domains_are_those_of_the_config_without_labels(domains, minidrive_root):
    source, target, folders = domains
    assert folders == ['somewhere'] and not source.image_dirs  # the originals, although the folder does not exist
    assert not source.labelled and not target.labelled and target.label_dir is None
    assert len(source) == 6 and len(target) == 4
    for broken, message in ((dict(source=None), 'no source of images .* but none'),
                            (dict(target=dict(type='ClipDataset')), 'no target of images .* but ClipDataset')):
        dataset = dict(type='UDADataset', source=dict(type='GTA5Domain', data_root=str(minidrive_root / 'gta5'), split='train'))
        with pytest.raises(ValueError, match=message):
            datasets_of_config(Config(dict(train_dataloader=dict(dataset=dataset | broken))))


def test_a_file_is_the_transform_of_the_pair(domains, tmp_path):
    source, target, _ = domains
    plan = plan_translation(source, target, seed=1)
    assert [item.key for item in plan] == source.keys
    assert len({item.partner for item in plan}) > 1
    assert plan_translation(source, target, seed=1) == plan != plan_translation(source, target, seed=2)
    assert translate_source(plan, FourierTransfer(0.1), tmp_path, seed=1) == (6, 0)
    assert len(tree(tmp_path)) == 6
    for item in plan:
        expected = fourier_style_transfer(load_bgr(item.image)[None], load_bgr(item.partner)[None], 0.1)[0]
        expected = expected.clamp(0, 255).round().byte().permute(1, 2, 0).numpy()
        assert np.array_equal(cv2.imread(str(tmp_path / f'{item.key}.png'), cv2.IMREAD_UNCHANGED), expected)
    data = GTA5Domain(source.data_root, image_dir=tmp_path, pipeline=[dict(type='LoadDomainImage'), dict(type='LoadDomainLabel')])
    assert np.array_equal(data[3]['img'], read_image(tmp_path / f'{data.keys[3]}.png'))


def test_what_is_there_and_whole_stays(domains, tmp_path):
    plan = plan_translation(*domains[:2], seed=0)
    assert translate_source(plan, Counting(), tmp_path, seed=0) == (6, 0)
    content = tree(tmp_path)
    files = [tmp_path / name for name in content]
    files[0].write_bytes(content[files[0].name][:-4])
    files[1].unlink()
    cv2.imwrite(str(files[2]), np.zeros((32, 63, 3), np.uint8))
    cv2.imwrite(str(files[3]), np.zeros((32, 64), np.uint8))
    times = {file: file.stat().st_mtime_ns for file in files[4:]}
    again = Counting()
    assert translate_source(plan, again, tmp_path, seed=0) == (4, 2) and again.calls == 4
    assert tree(tmp_path) == content and {file: file.stat().st_mtime_ns for file in files[4:]} == times
    # An image's own draws, whatever else is translated beside it.
    assert translate_source(plan[4:], Counting(), tmp_path / 'part', seed=0) == (2, 0)
    assert tree(tmp_path / 'part') == {name: content[name] for name in list(content)[4:]}
    assert translate_source(plan, Counting(), tmp_path / 'other', seed=1) == (6, 0)
    assert all(data != content[name] for name, data in tree(tmp_path / 'other').items())


def test_any_number_of_ranks_writes_the_same_files(domains, tmp_path, run_ranks, monkeypatch):
    monkeypatch.setattr(resumable, 'BLOCK', 2)
    plan = plan_translation(*domains[:2], seed=0)
    translate_source(plan, RandomConvolution(), tmp_path / 'one', seed=0)
    results = run_ranks(lambda rank: translate_source(plan, RandomConvolution(), tmp_path / 'two', seed=0))
    assert results == [((6, 0), None)] * 2
    assert tree(tmp_path / 'two') == tree(tmp_path / 'one')


def test_the_check_sees_sizes_damage_and_content(domains, tmp_path):
    source, target, _ = domains
    plan = plan_translation(source, target, seed=0)
    translate_source(plan, FourierTransfer(0.05), tmp_path / 'fourier', seed=0)
    report = check_translation(source, str(tmp_path / 'fourier'))
    assert report['images'] == 6 and report['problems'] == [] and report['phase_consistency'] > 0.9 and report['change'] > 1
    (tmp_path / 'swapped').mkdir()
    for item, other in zip(plan, plan[1:] + plan[:1]):  # the content of another image
        cv2.imwrite(str(tmp_path / 'swapped' / f'{item.key}.png'), read_image(other.image))
    assert check_translation(source, str(tmp_path / 'swapped'))['phase_consistency'] < 0.6
    files = sorted((tmp_path / 'fourier').glob('*.png'))
    files[0].write_bytes(files[0].read_bytes()[:100])
    cv2.imwrite(str(files[-1]), np.zeros((16, 32, 3), np.uint8))
    report = check_translation(source, str(tmp_path / 'fourier'), sample=2)  # the first and the last
    assert report['images'] == 2 and report['phase_consistency'] is None
    assert 'truncated PNG' in report['problems'][0] and 'is 32x16, its original 64x32' in report['problems'][1]
    files[1].unlink()
    with pytest.raises(FileNotFoundError, match='1 of 6 images have no translation'):
        check_translation(source, str(tmp_path / 'fourier'))
