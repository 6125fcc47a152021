# SPDX-License-Identifier: Apache-2.0
"""MiniDrive clips: flow in both directions of time, warping with it, numbers of things, the drive and who is in its way."""
from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.datasets.minidrive import Clip, render_clip
from udatools.datasets.minidrive.clip import exact_flow, visible
from udatools.datasets.minidrive.domains import REAL, style_of_clip
from udatools.datasets.minidrive.geometry import Camera
from udatools.datasets.minidrive.rasteriser import look, rasterise, visible_polygons
from udatools.datasets.minidrive.render import Drive, make_shot, shoot, trace
from udatools.datasets.minidrive.scene import Material, SceneBuilder
from udatools.datasets.minidrive.taxonomy import THINGS

SIZE = (192, 96)
FRAMES = 30
KERNEL = np.ones((3, 3), np.uint8)


@pytest.fixture(scope='module', params=[('sim', 1), ('real', 2)], ids=['sim', 'real'])
def clip(request):
    domain, index = request.param
    return Clip(domain, index, size=SIZE, num_frames=FRAMES)


@pytest.fixture(scope='module')
def items(clip):
    return {t: clip.item(t) for t in (11, 12, 13)}


def warp(values, flow, interpolation):
    """Values of the other frame where the pixels of this frame lie in it."""
    x = np.arange(values.shape[1], dtype=np.float32)[None, :] + flow[0]
    y = np.arange(values.shape[0], dtype=np.float32)[:, None] + flow[1]
    return cv2.remap(values, x, y, interpolation)


# ------------------------------------------------------------------------------------------------------ against warping


@pytest.mark.parametrize('offset', [-1, 1])
def test_warping_the_other_frame_gives_this_one(clip, items, offset):
    """Texture is fixed to surfaces: what is left is resampling and sensor noise, many times less than without flow."""
    here, there = items[12]['image'].astype(np.float32), items[12 + offset]['image'].astype(np.float32)
    flow, valid = clip.flow(12, offset)
    error = ((warp(there, flow, cv2.INTER_LINEAR) - here)**2).mean(-1)[valid].mean()
    still = ((there - here)**2).mean(-1)[valid].mean()
    assert 0.75 < valid.mean() < 1
    assert 10 * np.log10(255**2 / error) > 26 and error < still / 2.5, (error, still)


@pytest.mark.parametrize('offset', [-1, 1])
@pytest.mark.parametrize('kind', ['label', 'instance'])
def test_labels_and_numbers_move_with_the_flow(clip, items, offset, kind):
    flow, valid = clip.flow(12, offset)
    here, there = items[12][kind].astype(np.float32), items[12 + offset][kind].astype(np.float32)
    inner = valid & (cv2.erode(here, KERNEL) == cv2.dilate(here, KERNEL))
    same = warp(there, flow, cv2.INTER_NEAREST) == here
    assert same[inner].mean() > 0.998 and same[valid].mean() > 0.99
    assert inner.mean() > 0.6


def test_what_is_not_valid_shows_something_else(clip, items):
    """Inside the picture, invalid pixels are those that are covered in the other frame: there the labels disagree often."""
    flow, valid = clip.flow(12, 1)
    x, y = np.arange(SIZE[0])[None] + flow[0], np.arange(SIZE[1])[:, None] + flow[1]
    inside = (x > 0) & (x < SIZE[0] - 1) & (y > 0) & (y < SIZE[1] - 1)
    covered = inside & ~valid
    same = warp(items[13]['label'].astype(np.float32), flow, cv2.INTER_NEAREST) == items[12]['label']
    assert covered.any() and same[covered].mean() < 0.6


def test_fine_texture_is_fixed_to_the_road():
    """Without sensor noise the grain of the road, finer than its markings, goes where the flow says and does not stay."""
    clip = Clip('real', 2, size=SIZE, num_frames=FRAMES)
    shot = replace(clip.shot, weather=replace(clip.shot.weather, noise=0.0))
    grain = {}
    for t in (12, 13):
        grey = shoot(shot, trace(shot, t), t)['image'].mean(-1).astype(np.float32)
        grain[t] = grey - cv2.GaussianBlur(grey, (0, 0), 1.5)
    flow, valid = clip.flow(12, 1)
    surface = trace(shot, 12).surface
    road = surface == np.bincount(surface[70:].ravel()).argmax()
    inner = valid & (cv2.erode(road.astype(np.uint8), np.ones((5, 5))) > 0)
    inner[:66] = False
    assert inner.sum() > 2000
    warped = warp(grain[13], flow, cv2.INTER_LINEAR)
    assert np.corrcoef(warped[inner], grain[12][inner])[0, 1] > 0.5
    assert np.corrcoef(grain[13][inner], grain[12][inner])[0, 1] < 0.3


# ------------------------------------------------------------------------------------------------- against the geometry


@pytest.mark.parametrize('offset', [-1, 3])
def test_flow_against_moving_the_point_in_the_world(clip, offset):
    """A pixel of every surface: intersect its ray with the surface in the world, move it with its object, project it."""
    shot, time = clip.shot, 12
    traced = trace(shot, time)
    flow, _ = clip.flow(time, offset)
    cameras = shot.camera_at(time), shot.camera_at(time + offset)
    poses = shot.scene.poses(time), shot.scene.poses(time + offset)
    compared = 0
    for index in np.unique(traced.surface)[1:]:
        row, column = np.argwhere(traced.surface == index)[0]
        owner = shot.scene.owner[index]
        turns = [np.array([[np.cos(h[owner]), 0, np.sin(h[owner])], [0, 1, 0], [-np.sin(h[owner]), 0, np.cos(h[owner])]])
                 for _, h in poses]
        start = shot.scene.starts[index]
        a, b, c = (turns[0] @ corner + poses[0][0][owner] for corner in shot.scene.points[start:start + 3])
        normal = np.cross(b - a, c - b)
        camera = cameras[0]
        ray = camera.rotation().T @ np.array([(column - (SIZE[0] - 1) / 2) / camera.focal_px,
                                              (row - camera.horizon_px) / camera.focal_px, 1.0])
        if abs(normal @ ray) < 1e-2 * np.linalg.norm(normal):  # seen edge on
            continue
        origin = np.array(camera.position)
        point = origin + ray * (normal @ (a - origin) / (normal @ ray))
        moved = turns[1] @ turns[0].T @ (point - poses[0][0][owner]) + poses[1][0][owner]
        camera = cameras[1]
        x, y, z = camera.rotation() @ (moved - np.array(camera.position))
        if z > 0.3:
            expected = (x / z * camera.focal_px + (SIZE[0] - 1) / 2 - column, y / z * camera.focal_px + camera.horizon_px - row)
            assert flow[:, row, column] == pytest.approx(expected, abs=2e-2, rel=2e-3)
            compared += 1
    assert compared > 30


def _card_before_a_wall():
    """A card of 2 m x 2 m at 10 m, moving 0.5 m a frame to the right, before a wall at 20 m; f = 100, camera still."""
    builder, material = SceneBuilder(), Material((100.0, 100.0, 100.0))
    wall = builder.add_object(0.0, 20.0)
    builder.flat(wall, [(-30, -30), (-30, 30), (30, 30), (30, -30)], 2, material)
    card = builder.add_object(0.0, 10.0, velocity=(0.5, 0.0))
    builder.flat(card, [(-1, -1), (-1, 1), (1, 1), (1, -1)], 13, material)
    views = [look(builder.build(), Camera(101, 61, 100.0, 30.0, (0.0, 0.0, 0.0)), t) for t in (0, 1)]
    return views, [rasterise(view, visible_polygons(view)) for view in views]


def test_backward_flow_of_a_moving_card_by_hand():
    """In frame 1 the card spans columns 45..65 and came from 5 px to the left; it had covered the wall's columns 40..44."""
    (before, after), ((surface, depth), (next_surface, _)) = _card_before_a_wall()
    flow, inverse_depth = exact_flow(after, next_surface, before)
    card = after.scene.label[next_surface] == 13
    assert card[20:41, 45:66].all() and card.sum() == 21 * 21
    assert flow[0][card] == pytest.approx(-5.0, abs=1e-4) and np.abs(flow[:, ~card]).max() < 1e-4
    expected = np.ones((61, 101), bool)
    expected[20:41, 40:45] = False
    assert (visible(flow, inverse_depth, next_surface, surface, depth) == expected).all()


def test_a_point_that_the_camera_has_passed_is_not_valid():
    """Ground 1 m below, f = 100: row 60 of 61 is 100 / 30 = 3.3 m ahead. After 5 m of driving rows 51.. are passed."""
    builder = SceneBuilder()
    corners = [(-50, 0, -5), (-50, 0, 200), (50, 0, 200), (50, 0, -5)]
    builder.polygon(builder.add_object(0.0, 0.0), corners, 0, Material((90.0, 90.0, 90.0)))
    views = [look(builder.build(), Camera(101, 61, 100.0, 30.0, (0.0, 1.0, z))) for z in (0.0, 5.0)]
    (surface, _), (next_surface, next_depth) = (rasterise(view, visible_polygons(view)) for view in views)
    flow, inverse_depth = exact_flow(views[0], surface, views[1])
    seen = visible(flow, inverse_depth, surface, next_surface, next_depth)
    assert np.isfinite(flow).all()
    assert (inverse_depth[51:] < 0).all() and not seen[51:].any()
    # Row 34 is at 25 m, then at 20 m: 100 / 20 = 5 rows below the horizon. Row 42 is at 8.3 m, then 3.3 m: row 60.
    assert flow[1, 34, 50] == pytest.approx(1.0, abs=1e-4) and seen[31:42, 50].all() and not seen[43:, 50].any()


# -------------------------------------------------------------------------------------------------------------- frames


def test_a_frame_does_not_depend_on_what_was_asked_before(clip, items):
    fresh = Clip('sim' if clip.shot.style.name == 'sim' else 'real', 1 if clip.shot.style.name == 'sim' else 2, size=SIZE,
                 num_frames=FRAMES)
    again = fresh.item(12)
    assert all((again[key] == items[12][key]).all() for key in again)
    assert (fresh.flow(12, -1)[0] == clip.flow(12, -1)[0]).all()


def test_only_sensor_noise_is_drawn_anew_for_a_frame():
    """The same view exposed as frame 2 and as frame 3; "sim" has no noise, "real" 2 to 4.5 grey levels."""
    for domain, low, high in (('sim', 0, 0), ('real', 2.0, 5.0)):
        shot = make_shot(domain, 0, size=SIZE, num_frames=4)
        traced = trace(shot, 2)
        two, three = (shoot(shot, traced, t)['image'].astype(float) for t in (2, 3))
        assert low <= (two - three).std() / np.sqrt(2) <= high


def test_numbers_of_things_are_small_and_keep_their_class(clip, items):
    things = clip.shot.scene.instance.max()
    numbers = {int(n): set() for item in items.values() for n in np.unique(item['instance'])}
    for item in items.values():
        assert ((item['instance'] > 0) == np.isin(item['label'], sorted(THINGS))).all()
        for number in np.unique(item['instance'])[1:]:
            numbers[int(number)] |= set(item['label'][item['instance'] == number].tolist())
    assert all(len(labels) == 1 for number, labels in numbers.items() if number)
    count = len(np.unique(clip.shot.scene.instance)) - 1
    assert max(numbers) <= count < things


def test_a_clip_at_once_is_the_same_clip():
    whole, single = render_clip('real', 3, size=(96, 48), num_frames=3), Clip('real', 3, size=(96, 48), num_frames=3)
    for t in range(3):
        item = single.item(t)
        assert all((whole[key][t] == item[key]).all() for key in item)
    flow, valid = single.flow(1, 1)
    assert (whole['flow'][1] == flow.transpose(1, 2, 0)).all() and (whole['visible'][1] == valid).all()


def test_frames_beyond_the_clip_are_refused(clip):
    for call in (lambda: clip.item(FRAMES), lambda: clip.flow(0, -1), lambda: clip.flow(FRAMES - 1, 1)):
        with pytest.raises(IndexError, match=r'of a clip of 30; expected 0\.\.29'):
            call()


# --------------------------------------------------------------------------------------------------------------- drive


@settings(max_examples=40, deadline=None)
@given(st.floats(0.1, 1), st.floats(0, 0.1), st.floats(10, 80), st.floats(0, 6.3), st.floats(0, 40))
def test_the_camera_goes_where_it_turns(speed, sway, period, phase, time):
    """Sideways speed over speed is the angle it is turned by; the first frame is at the start."""
    drive, start = Drive(speed, sway, period, phase), Camera(64, 32, 60.0, 15.0, (0.3, 1.4, 2.0), yaw=0.02)
    assert drive.moved(start, 0).position == pytest.approx(start.position)
    here, ahead = drive.moved(start, time - 1e-4), drive.moved(start, time + 1e-4)
    across, along = ahead.position[0] - here.position[0], ahead.position[2] - here.position[2]
    assert along == pytest.approx(2e-4 * speed, rel=1e-3)
    assert across / along == pytest.approx(drive.moved(start, time).yaw - start.yaw, abs=1e-4)


def test_a_still_stands(items):
    shot = make_shot('real', 0)
    assert shot.camera_at(5) is shot.camera


def test_nothing_is_run_into():
    """Boxes of all things that cast a shadow stay out of a box around the camera, 1 m wide, to 1 m ahead and behind.

    Who is ahead in the camera's lane at X = 0 keeps its pace.
    """
    met = ahead = 0
    for domain, index in [('sim', k) for k in range(8)] + [('real', k) for k in range(8)]:
        shot = make_shot(domain, index, size=(64, 32), num_frames=FRAMES)
        scene = shot.scene
        solid = np.flatnonzero(scene.shadow[:, 0] > 0)
        lane = solid[scene.position[solid, 0] == 0.0]
        assert (scene.velocity[lane, 2] > 0.94 * shot.drive.speed).all(), (domain, index)
        ahead += len(lane)
        for t in range(0, FRAMES, 3):
            position, heading = scene.poses(t)
            x, _, z = shot.camera_at(t).position
            width, length = scene.shadow[solid, 0], scene.shadow[solid, 1]
            across = np.abs(np.sin(heading[solid])) > 0.5
            reach_x, reach_z = np.where(across, length, width) / 2, np.where(across, width, length) / 2
            near_x = np.abs(position[solid, 0] - x) < 0.5 + reach_x
            assert not (near_x & (np.abs(position[solid, 2] - z) < 1.0 + reach_z)).any(), (domain, index, t)
            met += near_x.sum()
    assert met > 100 and ahead > 10


def test_rare_things_come_by_turns():
    """Six kinds, each in every third clip, and in nine clips every pair of a large and a small one."""
    names = ('train', 'truck', 'bus', 'motorcycle', 'rider', 'bicycle')
    shown = [{name for name in names if style_of_clip(REAL, index).chance[name] == 1} for index in range(9)]
    assert all(len(two) == 2 for two in shown) and len({frozenset(two) for two in shown}) == 9
    for name in names:
        assert sum(name in two for two in shown[:6]) == 2
    assert style_of_clip(REAL, 0).chance['wall'] == REAL.chance['wall'] and REAL.chance['train'] == 0.2


def test_a_validation_set_of_six_clips_shows_every_kind():
    seen = set()
    for index in range(6):
        clip = Clip('real', index, 'val', size=(128, 64), num_frames=FRAMES)
        for t in (4, 19):
            seen |= set(np.unique(clip.shot.scene.label[trace(clip.shot, t).surface]).tolist())
    assert seen >= set(range(19))
