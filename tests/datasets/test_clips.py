# SPDX-License-Identifier: Apache-2.0
"""Clip items: which frames belong together, what is loaded for them, and the promises of the data set inside."""
import pickle
import random
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from udatools.datasets import ClipDataset, CounterSampler, GTA5Domain, UDADataset, VideoFramesDomain
from udatools.datasets.flow_io import flow_path, read_flow, write_flow

SHAPE = (24, 32)
PIPELINE = [dict(type='LoadClip'), dict(type='PackClipInputs')]
AUGMENTED = [
    dict(type='LoadClip'),
    dict(type='ClipRandomResize', scale=(40, 30), ratio_range=(0.8, 1.3), keep_ratio=True),
    dict(type='ClipRandomCrop', crop_size=(16, 20), cat_max_ratio=0.9),
    dict(type='ClipRandomFlip', prob=0.5),
    dict(type='ClipPhotometric', transforms=[dict(type='PhotoMetricDistortion')]),
    dict(type='PackClipInputs'),
]
FRAMES = {'a': (1, 2, 3, 4), 'b': (7, 8, 10, 20), 'one': (5, )}  # gaps in b; a clip of a single frame


@pytest.fixture
def video(trees):
    """Root with ``frames`` and ``labels`` of three clips; the first pixel of an image is its number in the whole set."""
    names = [f'{clip}/{number:03d}' for clip, numbers in FRAMES.items() for number in numbers]
    for i, name in enumerate(names):
        trees.write(trees.root / 'video' / 'frames' / f'{name}.png', trees.picture(i))
        trees.write(trees.root / 'video' / 'labels' / f'{name}.png', trees.labels(i, (0, 1, 18, 255)))
    return trees.root / 'video'


def cfg(video, **kwargs):
    return dict(type='VideoFramesDomain', data_root=str(video / 'frames'), **kwargs)


def labelled(video, **kwargs):
    return cfg(video, label_root=str(video / 'labels'), **kwargs)


def clips(dataset, **kwargs):
    return ClipDataset(dataset, **dict(dict(pipeline=PIPELINE, ends='clamp'), **kwargs))


def seen(item):
    """Numbers of the frames in an item, by their pixels."""
    return item['inputs'][:, 0, 0, 0].tolist()


def flow_of(key, offset, size=SHAPE):
    return np.random.default_rng([*key.encode(), offset + 9]).integers(-300, 300, (2, *size)).astype(np.float32) / 64


def write_flows(root, pairs, suffix='.png', size=SHAPE):
    for key, offset in pairs:
        valid = np.ones(size, bool)
        valid[3, 4] = False
        write_flow(flow_path(root, key, offset, suffix), flow_of(key, offset, size), valid)


# -- which frames --------------------------------------------------------------------------------------------------------


def neighbours(video, ends, *offsets):
    data = clips(cfg(video), frame_offsets=(0, *offsets), ends=ends)
    infos = [data.get_data_info(i) for i in range(len(data))]
    return {(info['clip'], info['frames'][0]): list(zip(info['frames'][1:], info['frame_valid'][1:])) for info in infos}


def test_neighbours_by_hand(video):
    clamped = neighbours(video, 'clamp', -1, 2)
    assert clamped[('a', 1)] == [(1, True), (3, True)] and clamped[('a', 3)] == [(2, True), (4, True)]
    assert clamped[('a', 4)] == [(3, True), (4, True)]
    assert clamped[('b', 7)] == [(7, True), (8, True)]  # 9 is missing: the last one on the way
    assert clamped[('b', 8)] == [(7, True), (10, True)]
    assert clamped[('b', 10)] == [(10, True), (10, True)] and clamped[('b', 20)] == [(20, True), (20, True)]  # never across a gap
    assert clamped[('one', 5)] == [(5, True), (5, True)]
    invalid = neighbours(video, 'invalid', -1, 2)
    assert invalid[('a', 1)] == [(1, False), (3, True)] and invalid[('b', 7)] == [(7, False), (7, False)]
    assert invalid[('one', 5)] == [(5, False), (5, False)]
    assert neighbours(video, 'drop', -1, 2) == {('a', 2): [(1, True), (4, True)], ('b', 8): [(7, True), (10, True)]}


def test_images_are_no_video(trees):
    with pytest.raises(NotImplementedError, match='GTA5Domain is no data set of videos'):
        clips(dict(type='GTA5Domain', data_root=str(trees.gta5())))
    assert not {'clip', 'frame'} & GTA5Domain(trees.gta5()).get_data_info(0).keys()


def test_data_infos_of_a_video_know_their_place(video):
    info = VideoFramesDomain(video / 'frames').get_data_info(5)
    assert (info['key'], info['clip'], info['frame']) == ('b/008', 'b', 8)


def test_by_default_every_clip_moves(video):
    """What lacks a neighbour is no key frame, but may be the neighbour of one."""
    data = ClipDataset(labelled(video), pipeline=PIPELINE)
    assert data.keys == ['a/002', 'a/003', 'a/004', 'b/008'] and len(data) == 4
    assert [seen(data[i]) for i in range(4)] == [[1, 0], [2, 1], [3, 2], [5, 4]]
    assert all(data[i]['data_samples'].frame_valid == [True, True] for i in range(4))
    with pytest.raises(IndexError, match='has 4 clips, got index 4'):
        data[4]


def test_dropped_frames_need_no_flow(video, tmp_path):
    write_flows(tmp_path, [('a/002', -1), ('a/003', -1), ('a/004', -1), ('b/008', -1)])
    assert len(ClipDataset(labelled(video), flow=dict(root=str(tmp_path)), pipeline=PIPELINE)) == 4


@pytest.mark.parametrize('ends', ['clamp', 'invalid'])
def test_clips_without_any_neighbour_are_refused(video, trees, ends):
    """Frames 2 apart at an offset of 1: every clip would be the same frame twice."""
    for i, number in enumerate((2, 4, 6)):
        trees.write(trees.root / 'every_second' / 'a' / f'{number:03d}.png', trees.picture(i))
    second = dict(type='VideoFramesDomain', data_root=str(trees.root / 'every_second'))
    with pytest.raises(ValueError, match=r'no frame of 3 has a neighbour at -1, \+1, so every clip would show one frame 3 times; '
                                         r'frames of a clip are mostly 2 numbers apart: set such frame_offsets'):
        clips(second, frame_offsets=(0, -1, 1), ends=ends)
    assert len(clips(second, frame_offsets=(0, -2), ends=ends)) == 3
    assert len(clips(second, frame_offsets=(0, -2), ends='drop')) == 2
    with pytest.raises(ValueError, match='no frame of 3 has a neighbour at -1, so there is no clip; frames of a clip are mostly'):
        clips(second, ends='drop')
    with pytest.raises(ValueError, match='every clip has one frame only.* or set frame_offsets=.0, .'):
        clips(second, max_items=1, ends=ends)
    assert len(clips(second, max_items=1, frame_offsets=(0, ), ends=ends)) == 1


def test_clips_that_lack_a_frame_are_counted(video):
    """At -1 the first frames of the three clips, and those after the two gaps of b."""
    assert clips(cfg(video)).describe()['clips'] == "5 of 9 frames (55.6%) lack a neighbour, ends='clamp'"
    left = ClipDataset(cfg(video), pipeline=PIPELINE).describe()
    assert left['clips'] == "5 of 9 frames (55.6%) are no key frames, they lack a neighbour, ends='drop'"
    whole = clips(cfg(video), frame_offsets=(0, ))
    assert whole.describe()['clips'] is None
    assert whole.describe()['gaps'] == '2 gaps in clips whose frames are mostly 1 apart: 8 to 10 of b, 10 to 20 of b'


# -- what is loaded ------------------------------------------------------------------------------------------------------


def test_item(video):
    data = clips(labelled(video), frame_offsets=(0, -1, 1))
    assert data.keys == VideoFramesDomain(video / 'frames').keys and len(data) == 9
    item = data[data.keys.index('a/002')]
    sample = item['data_samples']
    assert item['inputs'].shape == (3, 3, *SHAPE) and item['inputs'].dtype == torch.uint8 and seen(item) == [1, 0, 2]
    assert sample.gt_sem_seg.data.shape == (3, *SHAPE) and sample.gt_sem_seg.data.dtype == torch.int64
    for label, key in zip(sample.gt_sem_seg.data, sample.frame_keys):
        assert np.array_equal(label, cv2.imread(str(video / 'labels' / f'{key}.png'), cv2.IMREAD_UNCHANGED))
    assert sample.frame_paths == [str(video / 'frames' / f'{key}.png') for key in sample.frame_keys]
    assert sample.frame_keys == ['a/002', 'a/001', 'a/003'] and (sample.clip, sample.frames) == ('a', [2, 1, 3])
    assert sample.frame_valid == [True, True, True] and sample.ori_shape == SHAPE and 'flow' not in sample
    image = cv2.imread(str(video / 'frames' / 'a' / '002.png'))
    assert np.array_equal(item['inputs'][0].numpy().transpose(1, 2, 0), image)


def test_invalid_frames_repeat_the_key_frame_without_labels(video):
    item = clips(labelled(video), ends='invalid')[0]
    sample = item['data_samples']
    assert seen(item) == [0, 0] and torch.equal(item['inputs'][0], item['inputs'][1])
    assert sample.frame_valid == [True, False] and sample.frame_keys == ['a/001'] * 2
    assert (sample.gt_sem_seg.data[1] == 255).all() and (sample.gt_sem_seg.data[0] != 255).any()
    clamped = clips(labelled(video), ends='clamp')[0]['data_samples']
    assert clamped.frame_valid == [True, True] and torch.equal(*clamped.gt_sem_seg.data)


def test_one_frame_and_no_labels(video):
    item = clips(cfg(video), frame_offsets=(0, ), pipeline=[dict(type='LoadClip', labels=False), PIPELINE[1]])[0]
    assert item['inputs'].shape == (1, 3, *SHAPE) and 'gt_sem_seg' not in item['data_samples']


def test_repeated_frames_do_not_share_memory(video):

    def blacken(results):
        results['images'][0]['img'][:] = 0
        results['images'][0]['gt_seg_map'][:] = 7
        return results

    data = clips(labelled(video), pipeline=[PIPELINE[0], blacken, PIPELINE[1]])
    item = data[data.keys.index('one/005')]
    assert not item['inputs'][0].any() and item['inputs'][1].any()
    assert (item['data_samples'].gt_sem_seg.data[1] != 7).any()


def test_dense_frames_beside_few_labelled_ones(video, tmp_path):
    sparse = tmp_path / 'sparse'
    for folder in ('frames', 'labels'):
        for name in ('a/003', 'b/008'):
            (sparse / folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(video / folder / f'{name}.png', sparse / folder / f'{name}.png')
    with pytest.raises(ValueError, match='every clip has one frame only: add the frames in between'):
        clips(labelled(sparse))
    assert [seen(clips(labelled(sparse), frame_offsets=(0, ))[i]) for i in range(2)] == [[2], [5]]
    dense = clips(labelled(sparse), frames=cfg(video), frame_offsets=(0, -1, 1), ends='invalid')
    assert len(dense) == 2 and [seen(dense[i]) for i in range(2)] == [[2, 1, 3], [5, 4, 5]]
    label = dense[0]['data_samples'].gt_sem_seg.data
    assert (label[0] != 255).any() and (label[1:] == 255).all()  # neighbours come without ground truth


def test_frames_of_the_set_itself_keep_their_labels(video):
    data = clips(labelled(video), frames=cfg(video))
    assert (data[1]['data_samples'].gt_sem_seg.data[1] != 255).any()


# -- labels of a target --------------------------------------------------------------------------------------------------


def test_no_label_path_is_ever_built(video, monkeypatch):

    def forbidden(self, *args):
        raise AssertionError('a label path was built')

    monkeypatch.setattr(VideoFramesDomain, 'label_file', forbidden)
    monkeypatch.setattr(VideoFramesDomain, 'label_lut', forbidden)
    data = clips(labelled(video, labelled=False), frames=cfg(video), ends='invalid')
    for i in range(len(data)):
        assert (data[i]['data_samples'].gt_sem_seg.data == 255).all()
    assert data.labelled is False and data.label_dir is None
    with pytest.raises(AssertionError):
        clips(labelled(video))


def test_pseudo_labels_are_read_for_each_frame(video, tmp_path, trees):
    data = clips(cfg(video), label_dir=str(tmp_path / 'round'))
    assert data.label_dir == str(tmp_path / 'round') and data.labelled is False
    assert (data[1]['data_samples'].gt_sem_seg.data == 255).all()
    trees.write(tmp_path / 'round' / 'a' / '001.png', np.full(SHAPE, 4, np.uint8))
    label = data[1]['data_samples'].gt_sem_seg.data  # found on disk when the item is loaded
    assert (label[0] == 255).all() and (label[1] == 4).all()
    assert (data[0]['data_samples'].gt_sem_seg.data == 4).all()
    with_frames = clips(cfg(video, max_items=2), frames=cfg(video), frame_offsets=(0, 1), label_dir=str(tmp_path / 'round'))
    trees.write(tmp_path / 'round' / 'a' / '003.png', np.full(SHAPE, 5, np.uint8))
    assert (with_frames[1]['data_samples'].gt_sem_seg.data[1] == 5).all()


def test_arguments_of_the_set_inside(video):
    data = clips(cfg(video), frames=cfg(video), portion=[0.5, 0.34], portion_round=2)
    assert len(data) == 3 and data.keys == data.dataset.keys
    assert data.describe()['images'] == 3 and 'frames 0, -1' in data.describe()['type']
    with pytest.raises(ValueError, match='portion beside a data set that is built'):
        clips(VideoFramesDomain(video / 'frames'), portion=0.5)


# -- flow ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('suffix', ['.png', '.flo', '.npz'])
def test_precomputed_flow(video, tmp_path, suffix):
    write_flows(tmp_path, [(f'a/{i:03d}', -1) for i in (2, 3, 4)] + [('b/008', -1)], suffix)
    data = clips(cfg(video), flow=dict(root=str(tmp_path), suffix=suffix))
    for i, key in enumerate(data.keys):
        sample = data[i]['data_samples']
        assert sample.flow.data.shape == (1, 2, *SHAPE) and sample.flow.data.dtype == torch.float32
        assert sample.flow_valid.data.shape == (1, *SHAPE) and sample.flow_valid.data.dtype == torch.bool
        if sample.frames[0] != sample.frames[1]:
            flow, valid = read_flow(flow_path(tmp_path, key, -1, suffix))
            assert np.array_equal(sample.flow.data[0], flow) and np.array_equal(sample.flow_valid.data[0], valid)
            assert not valid.all() and flow.any()
        else:
            assert not sample.flow.data.any() and sample.flow_valid.data.all()  # clamped to itself: it does not move
        assert 'back_flow' not in sample


def test_flow_of_invalid_frames_is_unknown(video, tmp_path):
    write_flows(tmp_path, [(f'a/{i:03d}', -1) for i in (2, 3, 4)] + [('b/008', -1)])
    data = clips(cfg(video), flow=dict(root=str(tmp_path)), ends='invalid')
    sample = data[data.keys.index('b/010')]['data_samples']
    assert not sample.flow.data.any() and not sample.flow_valid.data.any()


def test_flow_both_ways_and_where_clamping_stops(video, tmp_path):
    pairs = [('a/001', 1), ('a/002', 1), ('a/003', 1), ('a/001', 2), ('a/002', 2), ('b/007', 1), ('b/008', 2)]
    back = [('a/002', -1), ('a/003', -1), ('a/004', -1), ('a/003', -2), ('a/004', -2), ('b/008', -1), ('b/010', -2)]
    write_flows(tmp_path, pairs + back)
    data = clips(cfg(video), frame_offsets=(0, 2), flow=dict(root=str(tmp_path), backward=True))
    # Where the wanted frame is missing, the flow is that to the frame which is shown.
    for key, offset, reference in (('a/001', 2, 'a/003'), ('a/003', 1, 'a/004'), ('b/007', 1, 'b/008')):
        sample = data[data.keys.index(key)]['data_samples']
        assert sample.frame_keys == [key, reference]
        for name, file in (('flow', (key, offset)), ('back_flow', (reference, -offset))):
            flow, valid = read_flow(flow_path(tmp_path, *file))
            assert np.array_equal(sample.get(name).data[0], flow)
            assert np.array_equal(sample.get(f'{name}_valid').data[0], valid)


def test_missing_and_wrong_flow_files(video, tmp_path):
    write_flows(tmp_path, [(f'a/{i:03d}', -1) for i in (2, 4)] + [('b/008', -1)])
    with pytest.raises(FileNotFoundError, match=r'1 flow files of 9 clips are missing, .*-1/a/003.png; .*tools/compute_flow.py'):
        clips(cfg(video), flow=dict(root=str(tmp_path)))
    write_flows(tmp_path, [('a/003', -1)], size=(24, 30))
    data = clips(cfg(video), flow=dict(root=str(tmp_path)))
    with pytest.raises(ValueError, match=r'-1/a/003.png is 30x24, but .*frames/a/003.png is 32x24'):
        data[2]
    path = flow_path(tmp_path, 'a/002', -1)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match='-1/a/002.png is no readable flow'):
        data[1]
    path.unlink()
    with pytest.raises(FileNotFoundError, match='tools/compute_flow.py'):
        data[1]


# -- arguments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('arguments, message', [
    (dict(frame_offsets=(-1, 0)), '0 .the key frame. first'),
    (dict(frame_offsets=()), '0 .the key frame. first'),
    (dict(frame_offsets=(0, 1, 1)), 'each once'),
    (dict(ends='mirror'), "ends is 'mirror'; expected one of drop, clamp, invalid"),
    (dict(flow=dict(root='x', suffix='.tif')), '.png, .flo, .npz'),
    (dict(flow=dict(backward=True)), 'expected dict.root=FOLDER'),
    (dict(flow=dict(root='x', both=True)), 'expected dict.root=FOLDER'),
])
def test_refuses(video, arguments, message):
    with pytest.raises(ValueError, match=message):
        clips(cfg(video), **arguments)


def test_refuses_parts_that_do_not_fit(video):
    with pytest.raises(ValueError, match='the dataset of a ClipDataset has a pipeline'):
        clips(cfg(video, pipeline=[dict(type='LoadDomainImage')]))
    with pytest.raises(ValueError, match='frames of a ClipDataset have labelled=True'):
        clips(cfg(video), frames=labelled(video))
    with pytest.raises(ValueError, match='dataset has 19 classes and frames 16'):
        clips(cfg(video), frames=cfg(video, classes='synthia16'))
    with pytest.raises(IndexError, match='9 clips, got index 9'):
        clips(cfg(video))[9]


def test_frames_of_different_size(video, trees):
    trees.write(video / 'frames' / 'a' / '002.png', trees.picture(1, (24, 30)))
    with pytest.raises(ValueError, match=r'a/002.png is 30x24, .*a/001.png is 32x24'):
        clips(cfg(video))[1]


# -- under UDADataset ----------------------------------------------------------------------------------------------------


@pytest.fixture
def pairs(video, tmp_path):
    write_flows(tmp_path / 'flow', [(f'a/{i:03d}', -1) for i in (2, 3, 4)] + [('b/008', -1)])
    return UDADataset(
        source=dict(type='ClipDataset', dataset=labelled(video), pipeline=AUGMENTED),
        target=dict(type='ClipDataset', dataset=cfg(video), pipeline=AUGMENTED, flow=dict(root=str(tmp_path / 'flow'))))


def summary(item):
    target = item['data_samples']['target']
    arrays = [*item['inputs'].values(), *(sample.gt_sem_seg.data for sample in item['data_samples'].values()), target.flow.data,
              target.flow_valid.data]
    return [(tuple(array.shape), array.numpy().tobytes()) for array in arrays], target.frame_keys


def test_an_item_is_a_function_of_seed_and_counter(pairs):
    forward = [summary(pairs[counter]) for counter in range(10)]
    random.seed(9), np.random.seed(9), torch.manual_seed(9)
    order = np.random.default_rng(0).permutation(10)
    shuffled = {counter: summary(pairs[int(counter)]) for counter in order}
    assert forward == [shuffled[counter] for counter in range(10)]
    assert summary(pickle.loads(pickle.dumps(pairs))[7]) == forward[7]
    pairs.set_seed(1)
    assert [summary(pairs[counter]) for counter in range(10)] != forward


def batches(data, workers, skip=0):
    sampler = CounterSampler(data, seed=5)
    sampler.skip(skip)
    iterator = iter(DataLoader(data, batch_size=2, sampler=sampler, num_workers=workers, collate_fn=pseudo_collate))
    out = [next(iterator) for _ in range(3)]
    return [[clip.numpy().tobytes() for name in ('source', 'target') for clip in batch['inputs'][name]] for batch in out]


def test_workers_and_resuming_change_nothing(pairs):
    alone = batches(pairs, 0)
    assert batches(pairs, 2) == alone
    assert batches(pairs, 0, skip=2)[:2] == alone[1:]


def test_labels_on_the_wrong_side(video):
    with pytest.raises(ValueError, match='target domain has labelled=True'):
        UDADataset(target=clips(labelled(video)))
    with pytest.raises(ValueError, match='source domain has no labels'):
        UDADataset(source=clips(cfg(video)))


def test_a_test_set_of_clips(video):
    data = clips(labelled(video, test_mode=True))
    assert [data[i]['data_samples'].frame_keys[0] for i in range(len(data))] == data.keys
    assert data.metainfo['classes'] == data.dataset.metainfo['classes']


def test_real_clip(real_data_root, tmp_path):
    """CamVid's validation split, every second number: warping by DIS flow beats standing still, mirrored and shrunk too."""
    dataset = dict(type='CamVidDomain', data_root=str(real_data_root / 'camvid'), split='val', classes='camvid11', max_items=6)
    data = clips(dataset, frame_offsets=(0, -2), pipeline=[PIPELINE[0], PIPELINE[1]])
    key, reference = (frame.numpy().transpose(1, 2, 0) for frame in data[3]['inputs'])
    numbers = data[3]['data_samples'].frames
    assert numbers[0] - numbers[1] == 2
    grey = [cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY) for image in (key, reference)]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(*grey, None).transpose(2, 0, 1)
    for at in range(1, 6):
        write_flow(flow_path(tmp_path, data.keys[at], -2), flow)
    geometry = [dict(type='ClipResize', scale=(300, 240)), dict(type='ClipRandomFlip', prob=1.0)]
    data = clips(dataset, frame_offsets=(0, -2), flow=dict(root=str(tmp_path)), pipeline=[PIPELINE[0], *geometry, PIPELINE[1]])
    item = data[3]
    key, reference = (frame.numpy().transpose(1, 2, 0).astype(np.float32) for frame in item['inputs'])
    u, v = item['data_samples'].flow.data[0].numpy()
    x, y = np.meshgrid(np.arange(300, dtype=np.float32), np.arange(240, dtype=np.float32))
    warped = cv2.remap(np.ascontiguousarray(reference), x + u, y + v, cv2.INTER_LINEAR)
    inside = (x + u >= 0) & (x + u <= 299) & (y + v >= 0) & (y + v <= 239)
    moved, still = (np.abs(image - key)[inside].mean() for image in (warped, reference))
    assert inside.mean() > 0.9 and moved < 0.6 * still
