# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the video step: every side trains on the same frames, and their cross-entropy is the same."""
import argparse
import json

import pytest
import torch

from udatools.engine.benchmarking import memory_in_fresh_process


@pytest.fixture(scope='module')
def benchmark(load_tool):
    return load_tool('benchmark/video_step.py')


@pytest.fixture
def prepare(benchmark, tmp_path):
    """Function: configs and arguments at one tiny size."""

    def prepare(*arguments):
        args = benchmark.parse_args(['--device', 'cpu', '--repeats', '1', '--warmup', '0', '--no-memory', *arguments])
        return benchmark.load_configs(args, tmp_path), argparse.Namespace(**vars(args), size=(64, 32))

    return prepare


def test_every_side_trains_on_the_same_frames(benchmark, prepare, monkeypatch):
    configs, args = prepare('--clips', '2')
    seen = []

    class Model:

        def train_step(self, batch, optimiser):
            seen.append((optimiser, batch['inputs'], batch['data_samples']))

    monkeypatch.setattr(benchmark, 'build', lambda cfg, args, switch: Model())
    monkeypatch.setattr(benchmark, 'build_optimiser', lambda model, cfg: 'of video' if cfg is configs['video'] else 'of image')
    for name in benchmark.SIDES:
        benchmark.make_side(name, configs, args)()
    (kind, clips, samples), *steps, (_, together, _) = seen
    assert kind == 'of video' and {step[0] for step in seen[1:]} == {'of image'} and len(steps) == 2
    assert clips.keys() == {'source', 'target'} and [clip.shape for clip in clips['source']] == [(2, 3, 32, 64)] * 2
    for domain in clips:
        for number, (_, images, labels) in enumerate(steps):  # one frame of each clip a step
            assert torch.equal(torch.stack(images[domain]), torch.stack(clips[domain])[:, number])
            of_frames = torch.stack([sample.gt_sem_seg.data for sample in labels[domain]])[:, 0]
            assert torch.equal(of_frames, torch.stack([clip.gt_sem_seg.data[number] for clip in samples[domain]]))
        assert torch.equal(torch.stack(together[domain]), torch.cat(clips[domain]))
    assert not torch.equal(clips['source'][0][0], clips['source'][0][1])


def test_sides_are_measured_and_their_cross_entropy_is_the_same(benchmark, prepare):
    configs, args = prepare()
    result = benchmark.measure(configs, args)
    assert result['size'] == [64, 32] and (result['clips'], result['length'], result['turns']) == (1, 2, 1)
    assert result['time'].keys() == {'frames', 'batch'} and all(value.median > 0 for value in result['time'].values())
    assert result['difference']['loss'] < 1e-6 and result['difference']['gradient'] < 1e-5
    assert 'memory' not in result


def test_a_loss_that_differs_shows(benchmark, prepare):
    difference = benchmark.differences(*prepare('--cfg-options', 'vat.segmentation_weight=1.0'))
    assert difference['loss'] == pytest.approx(0.5, abs=1e-3) and difference['gradient'] == pytest.approx(0.5, abs=0.05)


def test_the_clip_step_is_video_adversarial_training(benchmark, prepare):
    configs, args = prepare()
    model = benchmark.build(configs['video'], args, 'plain')
    batch, = benchmark.batches_of(configs['video'], args, 2)['clip']
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert {'tube.loss_tube', 'adversarial.loss_adv_main', 'adversarial.loss_dis_main'} <= losses.keys()
    assert type(model.objectives['adversarial'].discriminators['main']).__name__ == 'SequenceDiscriminator'
    image = benchmark.build(configs['image'], args, 'plain')
    assert set(image.objectives) == {'source', 'adversarial'}
    assert type(image.objectives['adversarial'].discriminators['main']).__name__ == 'ImageDiscriminator'


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--image', 'adaptsegnet_viper2csvps'], r'different networks \(segmentor.backbone.base_channels, '),
    (['--video', 'adaptsegnet_minidrive_video'], 'has clips of one frame'),
    (['--image', 'source_only_minidrive_video'], 'of --image has no target')])
def test_configs_that_cannot_be_compared_are_refused(prepare, repo_root, arguments, message):
    arguments = [arguments[0], str(repo_root / 'configs' / 'video_da' / f'{arguments[1]}.py')]
    with pytest.raises(ValueError, match=message):
        prepare(*arguments)


def test_the_command_says_why_it_refuses(benchmark, repo_root):
    with pytest.raises(SystemExit, match='has clips of one frame'):
        benchmark.main(['--video', str(repo_root / 'configs/video_da/adaptsegnet_minidrive_video.py')])


def test_table_by_hand(benchmark):
    time = dict(frames=benchmark.ratio([1.0], [2.0]), batch=benchmark.ratio([3.0], [2.0]))
    one = dict(size=[64, 32], clips=2, length=2, time=time, difference=dict(loss=0.0, gradient=2e-7))
    lines = benchmark.format_table([one, one | dict(memory=dict(frames=1.5, batch=1.0))]).splitlines()
    assert lines[2] == '| 64x32 | 2 x 2 | 0.5 (0.5 to 0.5) | 1.5 (1.5 to 1.5) | -- | -- | 0e+00 | 2e-07 |'
    assert '| 1.50 | 1.00 |' in lines[3] and len({line.count('|') for line in lines}) == 1


def test_the_command_prints_ratios_and_writes_them(benchmark, monkeypatch, tmp_path, capsys):
    peaks = dict(clip=300, frames=200, batch=100)
    monkeypatch.setattr(benchmark, 'memory_in_fresh_process', lambda script, arguments: peaks[arguments[-1]])
    out = tmp_path / 'out.json'
    few = ['--device', 'cpu', '--repeats', '1', '--warmup', '0']
    assert benchmark.main([*few, '--sizes', '64x32', '96x64', '--json', str(out)]) == 0
    results = json.loads(out.read_text())
    assert [one['size'] for one in results] == [[64, 32], [96, 64]]
    assert all(one['memory'] == dict(frames=1.5, batch=3.0) for one in results)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith('| 64x32 | 1 x 2 | ') and lines[3].startswith('| 96x64 | 1 x 2 | ')
    assert '| 1.50 | 3.00 |' in lines[3]


@pytest.mark.slow
def test_memory_of_one_side_in_a_fresh_process(benchmark):
    arguments = ['--sizes', '128x128', '64x32', '--device', 'cpu', '--sizes', '64x32', '--memory-of', 'clip']
    assert 2**20 < memory_in_fresh_process(benchmark.__file__, arguments) < 2**30


def test_bad_arguments_are_refused(benchmark, capsys):
    for arguments in (['--sizes', '256'], ['--clips', '0'], ['--repeats', '0'], ['--warmup', '-1']):
        with pytest.raises(SystemExit):
            benchmark.parse_args(arguments)
        assert arguments[0] in capsys.readouterr().err
