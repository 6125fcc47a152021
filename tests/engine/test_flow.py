# SPDX-License-Identifier: Apache-2.0
"""Flow of a data set: which pairs, files that do not depend on ranks or interruptions, checks that find what is broken."""
import json
import os

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from udatools.datasets.flow_io import flow_path, read_flow, write_flow
from udatools.engine import resumable
from udatools.engine.flow import claim_flow, compute_flow, load_image
from udatools.engine.flow_check import check_flow, format_check
from udatools.engine.runner.flow_plan import collect_pairs, find_pairs, task_of_class, tasks_of_config
from udatools.models.flow import DISFlow, FlowEstimator
from udatools.registry import DATASETS

SPEED = 2  # pixels that the scene moves to the right from one frame to the next


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


def write_frames(folder, numbers, sequence='0001TP', size=(32, 48), seed=0):
    """Frames of a scene that moves to the right by ``SPEED`` pixels a number."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[0], size[1] + 100, 3), dtype=np.uint8)
    scene = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX)
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        left = 60 - SPEED * number
        assert cv2.imwrite(str(folder / f'{sequence}_{number:06d}.png'), scene[:, left:left + size[1]])


@pytest.fixture
def video(tmp_path):
    """A CamVid of two clips: frames 1 to 5 and 7 of one, 3 and 4 of the other; no label files."""
    write_frames(tmp_path / 'data' / 'train', [1, 2, 3, 4, 5, 7])
    write_frames(tmp_path / 'data' / 'train', [3, 4], sequence='Seq05VD', seed=1)
    return DATASETS.build(task_of_class('CamVidDomain', str(tmp_path / 'data'), 'train').dataset)


class Counting(FlowEstimator):
    """Quick flow that tells the pair: the mean grey values of the two images; remembers what it was asked."""

    def __init__(self, fail_at=None):
        self.batches, self.pairs, self.fail_at = [], 0, fail_at

    def estimate(self, image, reference):
        self.batches.append(len(image))
        self.pairs += len(image)
        if self.fail_at is not None and self.pairs > self.fail_at:
            raise RuntimeError('power cut')
        means = torch.stack([image.float().mean((1, 2, 3)), reference.float().mean((1, 2, 3))], 1)
        return (means / 10)[..., None, None].expand(-1, -1, *image.shape[2:]).contiguous()


def names(pairs):
    return [(pair.key, pair.offset) for pair in pairs]


def test_pairs_are_frames_of_one_clip_at_an_offset(video):
    assert names(find_pairs(video, [-1])) == [
        ('0001TP_000002', -1), ('0001TP_000003', -1), ('0001TP_000004', -1), ('0001TP_000005', -1), ('Seq05VD_000004', -1)]
    assert names(find_pairs(video, [3, -2])) == [
        ('0001TP_000001', 3), ('0001TP_000002', 3), ('0001TP_000003', -2), ('0001TP_000004', 3), ('0001TP_000004', -2),
        ('0001TP_000005', -2), ('0001TP_000007', -2)]
    pair = find_pairs(video, [2])[-1]
    assert pair.image == video.image_path('0001TP_000005') and pair.reference == video.image_path('0001TP_000007')


def test_pairs_that_clips_fall_back_on_and_the_way_back(video):
    clamped = names(find_pairs(video, [-2], ends='clamp'))
    assert ('0001TP_000002', -1) in clamped and ('Seq05VD_000004', -1) in clamped and ('0001TP_000007', -2) in clamped
    assert not {'0001TP_000001', 'Seq05VD_000003'} & {key for key, _ in clamped}  # nothing before them
    whole = names(find_pairs(video, [-1, 2], ends='drop'))  # key frames that have both
    assert whole == [('0001TP_000002', -1), ('0001TP_000002', 2), ('0001TP_000003', -1), ('0001TP_000003', 2),
                     ('0001TP_000005', -1), ('0001TP_000005', 2)]
    both = names(find_pairs(video, [-1], backward=True))
    assert both[:4] == [('0001TP_000002', -1), ('0001TP_000001', 1), ('0001TP_000003', -1), ('0001TP_000002', 1)]
    assert len(names(find_pairs(video, [-1, 1], backward=True))) == 2 * 5  # each once


def test_files_are_those_that_clips_read(video, tmp_path):
    """The list of pairs and ClipDataset agree, clamped ends and flow backwards included."""
    clips = dict(type='ClipDataset', dataset=dict(type='CamVidDomain', data_root=str(tmp_path / 'data'), labelled=False),
                 frame_offsets=(0, -2, 1), flow=dict(root=str(tmp_path / 'flow'), backward=True))
    cfg = Config(dict(train_dataloader=dict(dataset=dict(type='UDADataset', target=clips))))
    task, = tasks_of_config(cfg, 'target')
    folder, = collect_pairs([task])
    pairs = folder.pairs
    assert task.root == str(tmp_path / 'flow') and task.offsets == (-2, 1)
    with pytest.raises(FileNotFoundError, match='compute_flow'):
        DATASETS.build(clips)
    compute_flow(pairs, Counting(), task.root)
    dataset = DATASETS.build(clips)
    read = {path for i in range(len(dataset)) for name in ('flow_files', 'back_flow_files')
            for path in dataset.get_data_info(i)[name] if path}
    assert read == {str(flow_path(task.root, pair.key, pair.offset)) for pair in pairs}


def test_what_a_config_says(tmp_path):
    plain = dict(type='CamVidDomain', data_root='d', labelled=False, portion=0.1, portion_round='{round}',
                 label_dir='{work_dir}/labels')
    clips = dict(type='ClipDataset', dataset=dict(plain, split='train'), frames=dict(plain, split='all'), frame_offsets=(0, 3),
                 ends='invalid')
    cfg = Config(dict(
        train_dataloader=dict(dataset=dict(type='UDADataset', source=dict(plain, split='sim'))),
        stages=[dict(name='first', config=dict(train_dataloader=dict(dataset=dict(target=dict(plain, split='stills'))))),
                dict(name='second', config=dict(train_dataloader=dict(dataset=dict(target=dict(_delete_=True, **clips)))))]))
    task, = tasks_of_config(cfg, 'target')
    assert task.dataset['split'] == 'train' and task.frames['split'] == 'all'
    assert (task.offsets, task.ends, task.backward, task.root) == ((3, ), 'invalid', False, None)
    with pytest.raises(ValueError, match='give --out'):
        collect_pairs([task])
    cfg.stages.append(dict(name='third', config={'train_dataloader.dataset.target': dict(
        _delete_=True, **clips, flow=dict(root='there', backward=True))}))
    reading, = tasks_of_config(cfg, 'target')
    assert reading.backward and reading.root == 'there'
    source, = tasks_of_config(cfg, 'source')
    assert source.dataset == dict(type='CamVidDomain', data_root='d', labelled=False, split='sim', label_dir=None, pipeline=[])
    assert source.offsets == () and source.frames is None
    with pytest.raises(ValueError, match='no val domain'):
        tasks_of_config(cfg, 'val')
    with pytest.raises(ValueError, match='neither a config file'):
        task_of_class('LoadImageFromFile', 'd', 'train')
    with pytest.raises(ValueError, match='--root'):
        task_of_class('CamVidDomain', None, 'train')


def test_offsets_that_are_asked_for_stand_on_their_own(video, tmp_path):
    """Clips of a frame and the one before it; the flow to both neighbours is wanted, at the ends of a clip to one of them."""
    settings = dict(type='CamVidDomain', data_root=str(tmp_path / 'data'), split='train', labelled=False)
    dataset = dict(type='ClipDataset', dataset=settings, flow=dict(root=str(tmp_path / 'flow')))
    tasks = tasks_of_config(Config(dict(train_dataloader=dict(dataset=dict(type='UDADataset', target=dataset)))), 'target')
    folder, = collect_pairs(tasks)
    assert names(folder.pairs) == names(find_pairs(video, [-1], ends='drop')) == names(find_pairs(video, [-1]))
    folder, = collect_pairs(tasks, offsets=[-1, 1])
    assert names(folder.pairs) == names(find_pairs(video, [-1, 1])) and len(folder.pairs) == 10


@pytest.mark.parametrize('offsets', [[], [0, 1], [1, 1]])
def test_offsets_that_mean_nothing_are_refused(video, offsets):
    with pytest.raises(ValueError, match='expected one or more frame numbers'):
        find_pairs(video, offsets)


def test_no_pair_at_all_says_how_far_apart_frames_are(video, tmp_path):
    with pytest.raises(ValueError, match=r'no frame of 8 .* \+9; frames of a clip are mostly 1 or 2 numbers apart'):
        find_pairs(video, [9])
    write_frames(tmp_path / 'stills' / 'train', [4])
    stills = DATASETS.build(task_of_class('CamVidDomain', str(tmp_path / 'stills'), 'train').dataset)
    with pytest.raises(ValueError, match='every clip has one frame only'):
        find_pairs(stills, [1])


@pytest.mark.parametrize('precision', [64, 16, 4])
def test_files_hold_the_flow_at_the_stated_precision(video, tmp_path, precision):
    pairs = find_pairs(video, [-1, 2])
    done = compute_flow(pairs, DISFlow('fast'), tmp_path / 'flow', precision=precision)
    files = [flow_path(tmp_path / 'flow', pair.key, pair.offset) for pair in pairs]
    assert done == (len(pairs), 0, sum(file.stat().st_size for file in files))
    for pair, file in zip(pairs, files):
        images = [load_image(path)[None] for path in (pair.image, pair.reference)]
        exact = DISFlow('fast').estimate(*images)[0].numpy()
        flow, known = read_flow(file)
        assert known.all() and np.abs(flow - exact).max() <= 0.5 / precision + 1e-6
        assert np.array_equal(flow * precision, np.rint(flow * precision))
        assert abs(np.median(flow[0]) - SPEED * pair.offset) < 0.5  # from the image to the reference


def test_a_batch_changes_nothing_and_holds_one_size(video, tmp_path, tree):
    write_frames(tmp_path / 'data' / 'train', [6, 7], sequence='Seq09', size=(16, 24))
    larger = DATASETS.build(task_of_class('CamVidDomain', str(tmp_path / 'data'), 'train').dataset)
    pairs = find_pairs(larger, [-1])
    contents = []
    for size, expected in ((1, [1] * 6), (4, [4, 1, 1]), (100, [5, 1])):
        estimator = Counting()
        compute_flow(pairs, estimator, tmp_path / str(size), batch_size=size)
        assert estimator.batches == expected
        contents.append(tree(tmp_path / str(size)))
    assert contents[0] == contents[1] == contents[2] and len(contents[0]) == 6


def test_goes_on_where_it_was_stopped(video, tmp_path, tree, capsys):
    pairs = find_pairs(video, [-1, 1])
    whole = compute_flow(pairs, Counting(), tmp_path / 'whole')
    assert whole[:2] == (10, 0)
    with pytest.raises(RuntimeError, match='power cut'):
        compute_flow(pairs, Counting(fail_at=4), tmp_path / 'flow', batch_size=2)
    there = tree(tmp_path / 'flow')
    assert 0 < len(there) <= 4
    capsys.readouterr()
    estimator = Counting()
    done = compute_flow(pairs, estimator, tmp_path / 'flow', batch_size=2)
    assert done[:2] == (10 - len(there), len(there)) and estimator.pairs == 10 - len(there)
    assert tree(tmp_path / 'flow') == tree(tmp_path / 'whole')
    assert f'flow  {done.computed}/{done.computed} pairs' in capsys.readouterr().err
    assert compute_flow(pairs, Counting(fail_at=0), tmp_path / 'flow') == (0, 10, 0)


def test_what_an_uneven_interruption_left_is_shared_out_anew(video, tmp_path, tree, run_ranks, monkeypatch):
    """One rank was done, the other had not begun: both get half of the rest."""
    monkeypatch.setattr(resumable, 'BLOCK', 1)
    pairs = find_pairs(video, [-1, 1])
    compute_flow(pairs, Counting(), tmp_path / 'whole')
    compute_flow(pairs[::2], Counting(), tmp_path / 'flow')

    def work(rank):
        estimator = Counting()
        return estimator.batches, compute_flow(pairs, estimator, tmp_path / 'flow', batch_size=1)[:2]

    (first, counts), (second, same) = (value for value, _ in run_ranks(work))
    assert counts == same == (5, 5) and [len(first), len(second)] == [3, 2]
    assert tree(tmp_path / 'flow') == tree(tmp_path / 'whole')


def test_a_damaged_image_ends_all_ranks(video, tmp_path, run_ranks, monkeypatch):
    monkeypatch.setattr(resumable, 'BLOCK', 2)
    pairs = find_pairs(video, [-1])
    with open(pairs[3].image, 'wb') as file:
        file.write(b'no image')
    errors = [error for _, error in run_ranks(lambda rank: compute_flow(pairs, Counting(), tmp_path / 'flow'))]
    assert sum('000005.png is no readable image' in error for error in errors) == 1
    assert sum('another rank ended before its share of the flow was done' in error for error in errors) == 1


def test_files_that_are_not_whole_are_computed_again(video, tmp_path, tree):
    pairs = find_pairs(video, [-1])
    compute_flow(pairs, Counting(), tmp_path / 'flow')
    content = tree(tmp_path / 'flow')
    files = [flow_path(tmp_path / 'flow', pair.key, pair.offset) for pair in pairs]
    files[0].write_bytes(files[0].read_bytes()[:-5])
    files[1].write_bytes(b'')
    write_flow(files[2], np.zeros((2, 31, 48), np.float32))  # of another size
    cv2.imwrite(str(files[3]), np.zeros((32, 48, 3), np.uint8))  # no flow: 8 bits
    estimator = Counting()
    assert compute_flow(pairs, estimator, tmp_path / 'flow')[:2] == (4, 1)
    assert tree(tmp_path / 'flow') == content


def test_any_number_of_ranks_writes_the_same_files(video, tmp_path, tree, run_ranks, monkeypatch):
    monkeypatch.setattr(resumable, 'BLOCK', 2)
    pairs = find_pairs(video, [-1, 1])
    compute_flow(pairs, Counting(), tmp_path / 'one')

    def work(rank):
        estimator = Counting()
        return estimator, compute_flow(pairs, estimator, tmp_path / 'two')

    results = run_ranks(work)
    assert [error for _, error in results] == [None, None]
    assert [value[1] for value, _ in results] == [compute_flow(pairs, Counting(), tmp_path / 'one')._replace(
        computed=10, reused=0, stored_bytes=sum(len(data) for data in tree(tmp_path / 'one').values()))] * 2
    assert [value[0].pairs for value, _ in results] == [6, 4]  # blocks 1, 3, 5 and 2, 4
    assert tree(tmp_path / 'two') == tree(tmp_path / 'one')

    reports = run_ranks(lambda rank: check_flow(pairs, tmp_path / 'two', reference=tmp_path / 'one'))
    alone = check_flow(pairs, tmp_path / 'two', reference=tmp_path / 'one')
    assert reports[0] == reports[1] and format_check(reports[0][0]) == format_check(alone)


def test_frames_of_two_sizes_and_damaged_images_are_named(video, tmp_path):
    pairs = find_pairs(video, [1])
    cv2.imwrite(pairs[1].image, np.zeros((20, 48, 3), np.uint8))
    with pytest.raises(ValueError, match=r'000001.png is 48x32, but .*000002.png 48x20'):
        compute_flow(pairs, Counting(), tmp_path / 'flow')
    with open(pairs[1].image, 'wb') as file:
        file.write(b'no image')
    with pytest.raises(ValueError, match='000002.png is no readable image'):
        compute_flow(pairs, Counting(), tmp_path / 'flow')
    os.remove(pairs[1].image)
    with pytest.raises(FileNotFoundError, match='000002.png does not exist'):
        compute_flow(pairs, Counting(), tmp_path / 'flow')
    for wrong in (dict(precision=10), dict(batch_size=0)):
        with pytest.raises(ValueError, match='expected one of 64, 32, 16, 8, 4'):
            compute_flow(pairs, Counting(), tmp_path / 'flow', **wrong)


def test_a_folder_holds_flow_of_one_making(tmp_path):
    settings = dict(estimator=dict(type='DISFlow', preset='fast'), precision=16)
    claim_flow(tmp_path / 'flow', settings)
    claim_flow(tmp_path / 'flow', settings)
    with pytest.raises(ValueError, match='precision 16 instead of 64'):
        claim_flow(tmp_path / 'flow', dict(settings, precision=64))
    with pytest.raises(ValueError, match="'preset': 'fast'.* instead of .*'RAFTFlow'"):
        claim_flow(tmp_path / 'flow', dict(settings, estimator=dict(type='RAFTFlow')))
    for damaged in ('{', '[]'):
        (tmp_path / 'flow' / 'flow.json').write_text(damaged)
        with pytest.raises(ValueError, match='is damaged'):
            claim_flow(tmp_path / 'flow', settings)


@pytest.fixture
def stored(video, tmp_path):
    """Pairs, a folder with their exact flow, one with it off by (3, 4) pixels, and one with the wrong sign."""
    pairs = find_pairs(video, [-1, 2])
    for pair in pairs:
        exact = np.zeros((2, 32, 48), np.float32)
        exact[0] = SPEED * pair.offset
        known = np.ones((32, 48), bool)
        known[:4] = False
        write_flow(flow_path(tmp_path / 'exact', pair.key, pair.offset, '.npz'), exact, known)
        write_flow(flow_path(tmp_path / 'off', pair.key, pair.offset), exact + np.array([3, 4], np.float32)[:, None, None])
        write_flow(flow_path(tmp_path / 'wrong', pair.key, pair.offset), -exact)
    return pairs, tmp_path


def test_check_tells_good_flow_from_bad(stored):
    pairs, root = stored
    reports = {name: check_flow(pairs, root / name, reference=root / 'exact')['offsets'] for name in ('exact', 'off', 'wrong')}
    assert list(reports['exact']) == ['-1', '+2'] and [scores['pairs'] for scores in reports['exact'].values()] == [5, 4]
    for offset, length in (('-1', SPEED), ('+2', 2 * SPEED)):
        exact, off, wrong = (reports[name][offset] for name in ('exact', 'off', 'wrong'))
        assert exact['photometric']['mean'] < 1e-6 and exact['end_point_error']['mean'] == 0
        # Of 32 rows the first 4 are unknown; what moves out of the image is not inside.
        assert exact['photometric']['visible_share'] == pytest.approx(28 * (48 - length) / (32 * 48))
        assert exact['zero_flow']['photometric']['inside'] == exact['photometric']['inside']
        assert exact['zero_flow']['photometric']['mean'] > 0.05 and exact['zero_flow']['end_point_error']['mean'] == length
        assert off['end_point_error']['mean'] == 5 and off['end_point_error']['outlier_share'] == 1
        assert off['end_point_error']['pixels'] == exact['pairs'] * 28 * 48
        assert wrong['end_point_error']['mean'] == 2 * length
        assert wrong['photometric']['mean'] > wrong['zero_flow']['photometric']['mean'] > 0


def test_check_sample_and_table(stored):
    pairs, root = stored
    report = check_flow(pairs, root / 'off', sample=3)
    assert sum(scores['pairs'] for scores in report['offsets'].values()) == 3
    assert 'end_point_error' not in report['offsets']['-1'] and json.dumps(report)
    assert check_flow(pairs, root / 'off', sample=100) == check_flow(pairs, root / 'off')
    with pytest.raises(ValueError, match='expected 1 or more'):
        check_flow(pairs, root / 'off', sample=0)
    header, *rows, note = format_check(check_flow(pairs, root / 'exact', reference=root / 'exact')).split('\n')
    assert header.split()[:2] == ['offset', 'pairs'] and len(rows) == 2 and 'brackets' in note
    assert rows[0].split()[:3] == ['-1', '5', '0.0000'] and '0.000 (2.000) px' in rows[0] and '0.0% (0.0%)' in rows[0]
    assert '0.000 (4.000) px' in rows[1] and '0.0% (100.0%)' in rows[1]


def test_check_names_what_is_missing_or_damaged(stored):
    pairs, root = stored
    flow_path(root / 'off', *pairs[0][:2]).unlink()
    damaged = flow_path(root / 'off', *pairs[1][:2])
    data = bytearray(damaged.read_bytes())
    damaged.write_bytes(data[:-30])
    write_flow(flow_path(root / 'off', *pairs[2][:2]), np.zeros((2, 5, 6), np.float32))
    report = check_flow(pairs, root / 'off')
    assert sum(scores['pairs'] for scores in report['offsets'].values()) == len(pairs) - 3
    missing, broken, size = report['problems']
    assert all('.npz does not exist' in problem for problem in check_flow(pairs, root / 'exact', suffix='.npz')['problems'])
    assert 'does not exist' in missing and str(damaged) in broken and 'is 6x5, but the frame 48x32' in size
    with pytest.raises(FileNotFoundError, match='flow of none of 9 pairs; expected files such as'):
        check_flow(pairs, root / 'exact', reference=root / 'nowhere')
