# SPDX-License-Identifier: Apache-2.0
"""The pictures of what the network sees: exactly the items of training, drawn where they belong."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from shrink import REPO, shrink

from udatools.engine.runner.stages import merge_stage_config
from udatools.registry import MODELS, TRANSFORMS
from udatools.visualization import browse


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('browse_dataset.py').main


@pytest.fixture
def cfg(tiny_data, tmp_path):
    init_default_scope('mmseg')
    return shrink(REPO / 'configs' / 'labor' / 'spl_minidrive.py', data=tiny_data, work_dir=tmp_path / 'run', items=6, seed=5)


def dataset_of(cfg, stage, work_dir='nowhere'):
    from udatools.registry import DATASETS
    dataset = DATASETS.build(browse.prepare_stage(cfg, stage, work_dir).train_dataloader['dataset'])
    dataset.set_seed(5)
    return dataset


def training_batches(cfg, stage, count):
    """What the runner feeds to the model, from its own loader."""
    merged = merge_stage_config(cfg, stage)
    loader = Runner.build_dataloader(dict(merged.train_dataloader), seed=5)
    iterator = iter(loader)
    return [next(iterator) for _ in range(count)], MODELS.build(dict(merged.model.data_preprocessor))


def test_steps_are_the_transforms_of_the_config_and_end_in_the_training_item(cfg):
    stage = browse.choose_stage(cfg, 'warmup')
    dataset = dataset_of(cfg, stage)
    batches, _ = training_batches(cfg, stage, 2)
    for counter in range(4):
        for domain in ('source', 'target'):
            steps = browse.walk(dataset, domain, counter)
            assert [name for name, _, _ in steps] == ['LoadDomainImage', 'LoadDomainLabel', 'RandomFlip', 'PhotoMetricDistortion']
            fed = batches[counter // 2]
            image = fed['inputs'][domain][counter % 2].numpy()[::-1].transpose(1, 2, 0)  # RGB
            label = fed['data_samples'][domain][counter % 2].gt_sem_seg.data[0].numpy()
            assert np.array_equal(steps[-1][1], image) and np.array_equal(steps[-1][2], label)
            loaded, key = steps[0], dataset.domains[domain].keys[dataset.domain_index(domain, counter)]
            assert loaded[2] is None
            on_disk = cv2.imread(dataset.domains[domain].image_path(key))[..., ::-1]
            assert np.array_equal(loaded[1], on_disk)  # in-place transforms did not reach back
            assert (label != 255).any() == (domain == 'source')
    flips = [not np.array_equal(steps[1][1], steps[2][1]) for steps in (browse.walk(dataset, 'source', i) for i in range(12))]
    assert any(flips) and not all(flips)


def test_network_input_is_that_of_training(cfg):
    stage = browse.choose_stage(cfg, 'warmup')
    batches, preprocessor = training_batches(cfg, stage, 2)
    expected = preprocessor(batches[1], True)
    steps = browse.network_inputs(dataset_of(cfg, stage), preprocessor, [2, 3], 0)
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    for domain in ('source', 'target'):
        for index, (name, image, label) in enumerate(steps[domain]):
            assert name == 'input of the network'
            seen = expected['inputs'][domain][index].numpy().transpose(1, 2, 0) * std + mean
            assert np.abs(image - seen).max() <= 0.51  # RGB, rounded
            raw = batches[1]['inputs'][domain][index].numpy()[::-1].transpose(1, 2, 0)
            assert np.array_equal(image, raw)  # nothing but normalisation was done
            assert np.array_equal(label, batches[1]['data_samples'][domain][index].gt_sem_seg.data[0].numpy())


def test_preprocessor_without_conversion_shows_the_same_colours(cfg):
    stage = browse.choose_stage(cfg, 'warmup')
    dataset = dataset_of(cfg, stage)
    caffe = MODELS.build(dict(type='UDADataPreprocessor', mean=[104.0, 116.7, 122.7], std=[1, 1, 1], size_divisor=1))
    plain = MODELS.build(dict(type='UDADataPreprocessor', size_divisor=1))
    images = [browse.network_inputs(dataset, preprocessor, [0, 1], 0)['source'][0][1] for preprocessor in (caffe, plain)]
    assert np.array_equal(images[0], images[1]) and np.array_equal(images[0], browse.walk(dataset, 'source', 0)[-1][1])


class Mixing(torch.nn.Module):
    """A preprocessor that depends on the batch and on noise."""
    _enable_normalize, _channel_conversion = False, True

    def forward(self, batch, training):
        inputs = {name: torch.stack(images).float() for name, images in batch['inputs'].items()}
        inputs['source'] = inputs['source'].roll(1, 0) * 0 + inputs['target'] // 2 + torch.randint(0, 40, (1, ))
        return dict(inputs=inputs, data_samples=batch['data_samples'])


def test_batch_level_changes_show_and_are_repeatable(cfg):
    stage = browse.choose_stage(cfg, 'warmup')
    dataset = dataset_of(cfg, stage)
    state = torch.get_rng_state()
    first, again, other = (browse.network_inputs(dataset, Mixing(), [0, 1], seed)['source'][0][1] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_a_transform_that_keeps_state_is_told(cfg):

    class Drifting:

        def __init__(self):
            self.calls = 0

        def __call__(self, results):
            self.calls += 1
            results['img'] = results['img'] // self.calls
            return results

    TRANSFORMS.register_module(name='DriftingForTest', module=Drifting, force=True)
    try:
        stage = browse.choose_stage(cfg, 'warmup')
        dataset = dataset_of(cfg, stage)
        dataset.source.pipeline.transforms.insert(2, TRANSFORMS.build(dict(type='DriftingForTest')))
        with pytest.raises(RuntimeError, match='comes out differently'):
            browse.walk(dataset, 'source', 0)
    finally:
        TRANSFORMS.module_dict.pop('DriftingForTest')


def test_changes_in_place_do_not_reach_back(cfg):

    def blacken(results):
        results['img'][:] = 0
        results['gt_seg_map'][:] = 3
        return results

    stage = browse.choose_stage(cfg, 'warmup')
    dataset = dataset_of(cfg, stage)
    before = browse.walk(dataset, 'source', 0)
    dataset.source.pipeline.transforms.insert(2, blacken)
    after = browse.walk(dataset, 'source', 0)
    assert np.array_equal(before[1][1], after[1][1]) and np.array_equal(before[1][2], after[1][2])
    assert after[2][0] == 'function' and not after[2][1].any() and (after[2][2] == 3).all()


def test_pictures(cfg, tmp_path):
    stage = browse.choose_stage(cfg, 'warmup')
    written = browse.browse(cfg, stage, out=tmp_path / 'out', work_dir='nowhere', count=3, start=1, width=64)
    assert [path.name for path in written] == ['source_1.png', 'target_1.png']
    source = cv2.imread(str(written[0]))[..., ::-1]
    steps = browse.walk(dataset_of(cfg, stage), 'source', 1)
    # Two strips of 18 px above the first row; 5 columns of 64 px, 6 apart: the image of each step stands in its place.
    for column, (_, image, _) in enumerate([*steps, steps[-1]]):
        assert np.array_equal(source[36:68, 70 * column:70 * column + 64], image)
    assert source.shape[1] >= 5 * 64 + 4 * 6
    again = browse.browse(cfg, stage, out=tmp_path / 'again', work_dir='nowhere', count=3, start=1, width=64)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]
    many = browse.browse(cfg, stage, out=tmp_path / 'many', work_dir='nowhere', domain='target', count=7, width=64)
    assert [path.name for path in many] == ['target_1.png', 'target_2.png']


def clip_cfg(tmp_path):
    """A config whose target are clips with a flow of 3 pixels to the right; 4 frames of 32x64."""
    from mmengine.config import Config

    from udatools.datasets.flow_io import flow_path, write_flow
    flow = np.zeros((2, 32, 64), np.float32)
    flow[0] = 3
    for i in range(4):
        image = np.random.default_rng(i).integers(0, 256, (32, 64, 3), dtype=np.uint8)
        (tmp_path / 'video').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / 'video' / f'{i}.png'), image)
        write_flow(flow_path(tmp_path / 'flow', str(i), -1), flow)
    clips = dict(type='ClipDataset', dataset=dict(type='VideoFramesDomain', data_root=str(tmp_path / 'video')), ends='invalid',
                 flow=dict(root=str(tmp_path / 'flow')), pipeline=[
                     dict(type='LoadClip'), dict(type='ClipRandomFlip', prob=1.0), dict(type='PackClipInputs')])
    return Config(dict(
        default_scope='mmseg', work_dir=str(tmp_path), randomness=dict(seed=5),
        model=dict(data_preprocessor=dict(type='UDADataPreprocessor', size_divisor=1)),
        train_dataloader=dict(batch_size=2, dataset=dict(type='UDADataset', target=clips))))


def test_clips_have_a_row_for_each_frame(tmp_path):
    from udatools.visualization.flow_colours import colourise_flow
    config = clip_cfg(tmp_path)
    stage = browse.choose_stage(config, None)
    dataset = dataset_of(config, stage)
    counter = next(i for i in range(8) if dataset[i]['data_samples']['target'].frame_valid[1])
    for frame in (0, 1):
        steps = browse.walk(dataset, 'target', counter, frame)
        assert [name for name, _, _ in steps] == ['LoadClip', 'ClipRandomFlip', 'flow to this frame'][:2 + frame]
        packed = dataset[counter]['inputs']['target'][frame].numpy()[::-1].transpose(1, 2, 0)
        assert np.array_equal(steps[1][1], packed) and np.array_equal(steps[0][1], packed[:, ::-1])
        assert (steps[1][2] == 255).all()
    mirrored = np.stack([np.full((32, 64), -3.0), np.zeros((32, 64))])
    assert np.array_equal(steps[2][1], colourise_flow(mirrored))
    written = browse.browse(config, stage, out=tmp_path / 'out', work_dir='nowhere', count=4, width=64)
    assert [path.name for path in written] == ['target_1.png', 'target_2.png']  # 4 items of 2 frames, 6 rows a picture
    picture = cv2.imread(str(written[0]))[..., ::-1]
    row = 18 + 18 + 32 + 2 + 32 + 8  # title, caption, image, label and the gaps
    for number in range(6):
        counter, frame = divmod(number, 2)
        steps = browse.walk(dataset, 'target', counter, frame)
        shown = [*steps, ('input of the network', steps[1][1], None)]
        for column, (_, image, _) in enumerate(shown):
            assert np.array_equal(picture[row * number + 36:row * number + 68, 70 * column:70 * column + 64], image)


def test_labels_are_painted_and_the_rest_is_grey():
    image = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    label = np.full((8, 8), 255, np.uint8)
    label[:, :4] = 1
    drawn = browse.draw_label(image, label, [[0, 0, 0], [10, 250, 10]], (8, 8))
    assert (drawn[:, :4] == np.rint(0.35 * image[0, 0] + 0.65 * np.array([10, 250, 10]))).all()
    assert (drawn[:, 4:, 0] == drawn[:, 4:, 1]).all() and drawn[0, 7, 0] < 70
    single = np.full((64, 64), 255, np.uint8)
    single[33, 33] = 0
    drawn = browse.draw_label(np.zeros((64, 64, 3), np.uint8), single, [[255, 0, 0]], (16, 16))
    assert (drawn[..., 0] > 100).sum() == 9  # one labelled pixel survives the shrinking and is thick enough to see


def test_answers_of_a_run_are_shown(cfg, tmp_path):
    stage = browse.choose_stage(cfg, 'main')
    assert stage.name == 'round1_main' and browse.choose_stage(cfg, None).name == 'round3_main'
    dataset = dataset_of(cfg, stage, str(tmp_path))
    key = dataset.target.keys[dataset.domain_index('target', 0)]
    answer = np.full((32, 64), 255, np.uint8)
    answer[3:9, 5] = 7
    path = tmp_path / 'labels' / f'{key}.png'
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), answer)
    assert np.array_equal(browse.walk(dataset, 'target', 0)[1][2], answer)


def test_command_line(main, tiny_data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('UDATOOLS_MINIDRIVE', str(tiny_data['GTA5Domain'].parent))
    config = str(REPO / 'configs' / 'source_only' / 'source_only_minidrive.py')
    assert main([config, '--count', '1', '--seed', '3']) == 0
    assert capsys.readouterr().out.split()[-1:] == ['work_dirs/source_only_minidrive/browse_train/source_1.png']
    for arguments, message in ((['--domain', 'target'], 'trains without the target domain; it has source'),
                               (['--stage', 'round9'], 'the stages are train'), (['--count', '0'], 'count=0')):
        assert main([config, *arguments]) == 1
        error = capsys.readouterr().err
        assert message in error and 'Traceback' not in error
    assert main(['nowhere.py']) == 1
    assert 'nowhere.py does not exist' in capsys.readouterr().err
