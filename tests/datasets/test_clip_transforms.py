# SPDX-License-Identifier: Apache-2.0
"""Clip transforms against warping: a moving pattern of known flow must still fit after any geometry."""
import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.datasets.transforms import resize_flow_maps, resize_label
from udatools.registry import TRANSFORMS
from udatools.utils.rng import scoped_rng

HEIGHT, WIDTH = 48, 64


def pattern(x, y):
    """A smooth picture at real positions: (..., 3), 0..255, no two neighbourhoods alike."""
    waves = [np.sin(0.19 * x + 0.07 * y) + np.cos(0.11 * y - 0.05 * x), np.cos(0.13 * x - 0.1 * y) + np.sin(0.23 * y),
             np.sin(0.09 * x + 0.17 * y) + np.cos(0.21 * x)]
    return 127.5 + 63 * np.stack(waves, -1)


def motion(x, y, scale):
    """A smooth flow of several pixels, different everywhere: (2, ...)."""
    return scale * np.stack([3 + 2 * np.sin(0.06 * x + 0.03 * y), -2 + 1.5 * np.cos(0.05 * y - 0.04 * x)])


def sample(values, x, y):
    """Bilinear values (H, W, C) at positions inside the grid, by the formula."""
    left, top = (np.clip(np.floor(at).astype(int), 0, size - 2) for at, size in ((x, values.shape[1]), (y, values.shape[0])))
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    upper = (1 - fx) * values[top, left] + fx * values[top, left + 1]
    lower = (1 - fx) * values[top + 1, left] + fx * values[top + 1, left + 1]
    return (1 - fy) * upper + fy * lower


def make_clip(references=2, unknown=True):
    """Key frame and references: what the key frame shows at p, reference j shows at p + flow_j(p)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    flow = np.stack([motion(x, y, j) for j in (1, -0.7)[:references]]).astype(np.float32)
    frames = [pattern(x, y)]
    for scale in (1, -0.7)[:references]:
        at = np.stack([x, y])  # where the key frame has what the reference shows at (x, y): p with p + flow(p) = (x, y)
        for _ in range(60):
            at = np.stack([x, y]) - motion(*at, scale)
        frames.append(pattern(*at))
    valid = np.ones((references, HEIGHT, WIDTH), bool)
    if unknown:
        valid[0, 10:20, 30:50] = False
        flow[0, :, 10:20, 30:50] = 0
    images = [dict(img=np.rint(frame).astype(np.uint8), gt_seg_map=(np.rint(frame[..., 0]) > 127).astype(np.uint8),
                   seg_fields=['gt_seg_map'], img_shape=(HEIGHT, WIDTH), ori_shape=(HEIGHT, WIDTH), img_path=f'{i}.png',
                   key=str(i)) for i, frame in enumerate(frames)]
    numbers = list(range(1 + references))
    return dict(images=images, flow=flow, flow_valid=valid, back_flow=-flow, back_flow_valid=valid.copy(), clip='c',
                frames=numbers, frame_keys=[str(number) for number in numbers], frame_valid=[True] * len(numbers))


def run(cfgs, seed=0, **kwargs):
    results = make_clip(**kwargs)
    with scoped_rng(seed):
        for cfg in cfgs:
            results = TRANSFORMS.build(cfg)(results)
    return results


def misfit(results):
    """Largest difference, in grey levels, of the key frame and each warped reference on what is known and inside."""
    key = results['images'][0]['img'].astype(np.float64)
    height, width = key.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float64)
    worst = []
    for image, flow, valid in zip(results['images'][1:], results['flow'], results['flow_valid'], strict=True):
        at_x, at_y = x + flow[0], y + flow[1]
        use = valid & (at_x >= 0) & (at_x <= width - 1) & (at_y >= 0) & (at_y <= height - 1)
        assert use.mean() > 0.4
        worst.append(np.abs(sample(image['img'].astype(np.float64), at_x, at_y) - key)[use].max())
    return max(worst)


RESIZE = dict(type='ClipResize', scale=(90, 40))  # one axis grows, the other shrinks
CHAINS = {
    'nothing': [],
    'resize': [RESIZE],
    'keep ratio': [dict(type='ClipResize', scale=(44, 44), keep_ratio=True)],
    'random resize': [dict(type='ClipRandomResize', scale=(WIDTH, HEIGHT), ratio_range=(0.7, 1.6), keep_ratio=True)],
    'crop': [dict(type='ClipRandomCrop', crop_size=(40, 50))],
    'centre': [dict(type='ClipCenterCrop', crop_size=(40, 50))],
    'flip': [dict(type='ClipRandomFlip', prob=1.0)],
    'all': [dict(type='ClipRandomResize', scale=[(60, 40), (100, 60)]), dict(type='ClipRandomCrop', crop_size=(32, 44)),
            dict(type='ClipRandomFlip', prob=1.0), dict(type='ClipPhotometric', transforms=[
                dict(type='PhotoMetricDistortion', contrast_range=(0.9, 0.9), brightness_delta=1, saturation_range=(1, 1),
                     hue_delta=1)])],
}


@pytest.mark.parametrize('chain', CHAINS)
def test_warped_references_fit_the_key_frame(chain):
    for seed in range(3):
        results = run(CHAINS[chain], seed)
        assert misfit(results) < 6.5, (chain, seed)  # rounding, interpolation; the motion itself is worth 100
        assert results['images'][0]['img'].shape[:2] == results['flow'].shape[2:] == results['flow_valid'].shape[1:]
        assert not results['flow_valid'][0].all() and results['flow_valid'][1].all()
        still = dict(results, flow=np.zeros_like(results['flow']))
        assert misfit(still) > 40


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(30, 90), st.integers(30, 90), st.booleans())
def test_any_size_fits(seed, height, width, flip):
    chain = [dict(type='ClipResize', scale=(width, height)), dict(type='ClipRandomFlip', prob=float(flip)),
             dict(type='ClipRandomCrop', crop_size=(height - 4, width - 4))]
    assert misfit(run(chain, seed, references=1, unknown=False)) < 8


def test_resized_flow_against_a_slow_reference():
    rng = np.random.default_rng(0)
    flow, valid = rng.normal(size=(1, 2, 5, 7)).astype(np.float32), rng.random((1, 5, 7)) < 0.7
    for shape in ((5, 7), (9, 4), (3, 15)):
        out, known = resize_flow_maps(flow, valid, shape)
        for row in range(shape[0]):
            for column in range(shape[1]):
                y, x = (row + 0.5) * 5 / shape[0] - 0.5, (column + 0.5) * 7 / shape[1] - 0.5
                assert known[0, row, column] == valid[0, int(y + 0.5), int(x + 0.5)]
                total, norm = np.zeros(2), 0.0
                for i in {int(np.floor(y)), int(np.floor(y)) + 1}:
                    for j in {int(np.floor(x)), int(np.floor(x)) + 1}:
                        at = min(max(i, 0), 4), min(max(j, 0), 6)
                        weight = max(0.0, 1 - abs(y - i)) * max(0.0, 1 - abs(x - j)) * valid[0][at]
                        total, norm = total + weight * flow[0, :, at[0], at[1]], norm + weight
                expected = total / norm * [shape[1] / 7, shape[0] / 5] if known[0, row, column] else np.zeros(2)
                np.testing.assert_allclose(out[0, :, row, column], expected, rtol=1e-4, atol=1e-5)


def test_labels_go_with_the_images():
    results = run([RESIZE])
    for image, before in zip(results['images'], make_clip()['images']):
        assert np.array_equal(image['gt_seg_map'], resize_label(before['gt_seg_map'], (40, 90)))
        assert image['img'].shape[:2] == image['img_shape'] == (40, 90)
    flipped = run([dict(type='ClipRandomFlip', prob=1.0)])
    for image, before in zip(flipped['images'], make_clip()['images']):
        assert np.array_equal(image['gt_seg_map'], before['gt_seg_map'][:, ::-1])
        assert image['flip'] is True and image['flip_direction'] == 'horizontal'
    cropped = run([dict(type='ClipRandomCrop', crop_size=(20, 24))], seed=3)
    for image in cropped['images']:  # labels were a threshold of the first channel
        assert image['gt_seg_map'].shape == image['img_shape'] == (20, 24)
        assert np.array_equal(image['gt_seg_map'], (image['img'][..., 0] > 127))


def test_the_centre_is_cut_out():
    whole, wide = make_clip(), run([dict(type='ClipCenterCrop', crop_size=(21, 1000))])  # wider than the frames: rows alone
    top = (HEIGHT - 21) // 2
    for image, before in zip(wide['images'], whole['images']):
        assert np.array_equal(image['img'], before['img'][top:top + 21]) and image['img_shape'] == (21, WIDTH)
        assert np.array_equal(image['gt_seg_map'], before['gt_seg_map'][top:top + 21])
    assert np.array_equal(wide['flow'], whole['flow'][:, :, top:top + 21])
    with pytest.raises(ValueError, match=r'crop_size=\(0, 4\)'):
        run([dict(type='ClipCenterCrop', crop_size=(0, 4))])


def test_back_flow_goes_along():
    for chain in CHAINS.values():
        results = run(chain, seed=5)
        assert np.array_equal(results['back_flow'], -results['flow'])
        assert np.array_equal(results['back_flow_valid'], results['flow_valid'])


def test_the_choice_is_random_and_one_for_the_clip():
    still = make_clip()
    for image in still['images']:
        image['img'] = still['images'][0]['img'].copy()
    seen = set()
    for seed in range(12):
        results = dict(still, images=[dict(image) for image in still['images']])
        with scoped_rng(seed):
            for cfg in (dict(type='ClipRandomResize', scale=(64, 48), ratio_range=(0.5, 1.5)),
                        dict(type='ClipRandomCrop', crop_size=(20, 24)), dict(type='ClipRandomFlip', prob=0.5)):
                results = TRANSFORMS.build(cfg)(results)
        first, *others = (image['img'] for image in results['images'])
        assert all(np.array_equal(first, other) for other in others)
        seen.add(first.tobytes())
    assert len(seen) == 12


def test_crop_is_judged_by_the_label_of_the_key_frame():
    half = np.zeros((HEIGHT, WIDTH), np.uint8)
    half[:, WIDTH // 2:] = 1

    def crops(key_label, reference_label):
        out = []
        for seed in range(20):
            results = make_clip(references=1)
            results['images'][0]['gt_seg_map'], results['images'][1]['gt_seg_map'] = key_label.copy(), reference_label.copy()
            with scoped_rng(seed):
                TRANSFORMS.build(dict(type='ClipRandomCrop', crop_size=(20, 20), cat_max_ratio=0.75))(results)
            out.append(results['images'][0]['gt_seg_map'].mean())
        return np.array(out)

    empty = np.zeros_like(half)
    assert (np.abs(crops(half, empty) - 0.5) <= 0.26).mean() > 0.8  # a quarter of all windows are like that
    assert (crops(empty, half) == 0).all()
    bare = make_clip()
    for image in bare['images']:
        del image['gt_seg_map']
        image['seg_fields'] = []
    with pytest.raises(ValueError, match='LoadClip.labels=True'):
        TRANSFORMS.build(dict(type='ClipRandomCrop', crop_size=(20, 20), cat_max_ratio=0.75))(bare)


def test_small_frames_are_not_enlarged_by_a_crop():
    results = run([dict(type='ClipRandomCrop', crop_size=(200, 30))])
    assert results['images'][1]['img'].shape == (HEIGHT, 30, 3) and results['flow'].shape == (2, 2, HEIGHT, 30)


@pytest.mark.parametrize('per_frame', [False, True])
def test_photometric_draws(per_frame):
    cfg = dict(type='ClipPhotometric', per_frame=per_frame, transforms=[dict(type='PhotoMetricDistortion')])
    different = 0
    for seed in range(12):
        results = make_clip()
        for image in results['images']:
            image['img'] = results['images'][0]['img'].copy()
        with scoped_rng(seed):
            results = TRANSFORMS.build(cfg)(results)
            following = np.random.rand()
        images = [image['img'] for image in results['images']]
        different += not all(np.array_equal(images[0], image) for image in images)
        with scoped_rng(seed):
            TRANSFORMS.build(dict(cfg, per_frame=not per_frame))(make_clip())
            assert np.random.rand() == following  # what comes next does not depend on the option
    assert different >= 10 if per_frame else different == 0
    changed = [run([cfg], seed)['images'][0]['img'].tobytes() for seed in range(8)]
    assert len(set(changed)) > 5


def test_photometric_of_the_key_frame_leaves_the_references():
    cfg = dict(type='ClipPhotometric', transforms=[dict(type='PhotoMetricDistortion')])
    changed = 0
    for seed in range(4):
        only, every = (run([dict(cfg, key_only=value)], seed)['images'] for value in (True, False))
        changed += not np.array_equal(only[0]['img'], make_clip()['images'][0]['img'])
        assert np.array_equal(only[0]['img'], every[0]['img'])  # the same draw
        for image, before in zip(only[1:], make_clip()['images'][1:], strict=True):
            assert np.array_equal(image['img'], before['img'])
    assert changed >= 3


@pytest.mark.parametrize('transform', [dict(type='RandomFlip', prob=0.0), dict(type='Resize', scale=(32, 24)),
                                       dict(type='Resize', scale=(WIDTH, HEIGHT))])
def test_geometry_is_no_photometry(transform):
    with pytest.raises(ValueError, match='moves pixels'):
        run([dict(type='ClipPhotometric', transforms=[transform])])


def test_packed_item():
    results = run([RESIZE, dict(type='ClipRandomFlip', prob=1.0)])
    meta_keys = ('img_path', 'key', 'flip', 'scale_factor', 'nothing')
    packed = TRANSFORMS.build(dict(type='PackClipInputs', meta_keys=meta_keys))(results)
    sample = packed['data_samples']
    assert packed['inputs'].shape == (3, 3, 40, 90) and packed['inputs'].is_contiguous()
    assert np.array_equal(packed['inputs'][2].permute(1, 2, 0).numpy(), results['images'][2]['img'])
    assert sample.gt_sem_seg.data.dtype == torch.int64 and sample.gt_sem_seg.data.shape == (3, 40, 90)
    assert sample.flow.data.dtype == sample.back_flow.data.dtype == torch.float32
    assert np.array_equal(sample.flow.data, results['flow'])
    assert np.array_equal(sample.back_flow_valid.data, results['back_flow_valid'])
    assert sample.flip is True and not {'nothing', 'img_path', 'key'} & sample.metainfo.keys()
    assert sample.frame_paths == ['0.png', '1.png', '2.png']
    moved = sample.to('cpu').clone()  # what mmengine does with samples
    assert torch.equal(moved.flow.data, sample.flow.data) and moved.frame_keys == ['0', '1', '2']


@pytest.mark.parametrize('cfg', [dict(type='LoadClip'), dict(type='PackClipInputs'), RESIZE, *CHAINS['all']])
def test_single_images_are_refused(cfg):
    with pytest.raises(ValueError, match='got a single image, expected a clip'):
        TRANSFORMS.build(cfg)(dict(img=np.zeros((4, 4, 3), np.uint8)))


def test_refuses():
    with pytest.raises(ValueError, match=r'prob=1.5; expected a probability in \[0, 1\]'):
        TRANSFORMS.build(dict(type='ClipRandomFlip', prob=1.5))
    with pytest.raises(ValueError, match='no transforms'):
        TRANSFORMS.build(dict(type='ClipPhotometric', transforms=[]))


def test_flow_agrees_with_opencv():
    """The known flow of the pattern is what a flow estimator finds, so the convention is not only our own."""
    clip = make_clip(references=1, unknown=False)
    grey = [cv2.cvtColor(image['img'], cv2.COLOR_BGR2GRAY) for image in clip['images']]
    found = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None).transpose(2, 0, 1)
    error = np.hypot(*(found - clip['flow'][0]))[8:-8, 8:-8]
    assert np.median(error) < 0.5
