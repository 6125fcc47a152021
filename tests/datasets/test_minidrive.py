# SPDX-License-Identifier: Apache-2.0
"""MiniDrive: geometry against slow references, exact flow, purity, class statistics."""
from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.datasets.minidrive import render_clip, render_label, render_still
from udatools.datasets.minidrive.clip import exact_flow, visible
from udatools.datasets.minidrive.geometry import Camera, clip_near, motion_homographies, object_to_camera, plane_maps
from udatools.datasets.minidrive.rasteriser import look, rasterise, visible_polygons
from udatools.datasets.minidrive.render import make_shot, trace
from udatools.datasets.minidrive.scene import Material, SceneBuilder
from udatools.datasets.minidrive.taxonomy import CLASSES, THINGS, VOID

SMALL = (96, 48)


# ---------------------------------------------------------------------------------------------------------- geometry


def test_camera_projects_by_hand():
    """No tilt: a point 2 m right, 1 m above the camera and 10 m ahead, f = 100."""
    camera = Camera(201, 101, 100.0, 40.0, (0.0, 1.5, 0.0))
    x, y, z = camera.intrinsics() @ camera.rotation() @ (np.array([2.0, 2.5, 10.0]) - camera.position)
    assert (x / z, y / z) == (100 + 20, 40 - 10)


def test_yaw_turns_right_and_pitch_looks_down():
    right = Camera(201, 101, 100.0, 50.0, (0.0, 0.0, 0.0), yaw=0.3)
    assert (right.rotation() @ np.array([np.sin(0.3), 0.0, np.cos(0.3)])) == pytest.approx([0, 0, 1])
    down = Camera(201, 101, 100.0, 50.0, (0.0, 0.0, 0.0), pitch=0.2)
    assert (down.rotation() @ np.array([0.0, -np.sin(0.2), np.cos(0.2)])) == pytest.approx([0, 0, 1])


def test_heading_turns_the_front_to_the_right():
    camera = Camera(10, 10, 10.0, 5.0, (0.0, 0.0, 0.0))
    rotation, _ = object_to_camera(camera, np.zeros((1, 3)), np.array([np.pi / 2]))
    assert rotation[0] @ np.array([0.0, 0.0, 1.0]) == pytest.approx([1, 0, 0])


def test_ground_depth_follows_the_pinhole_rule():
    """Level camera at height h: z = f h / (row - horizon), and u, v are the point itself."""
    camera = Camera(101, 101, 80.0, 30.0, (0.0, 1.6, 0.0))
    rotation, translation = object_to_camera(camera, np.zeros((1, 3)), np.zeros(1))
    rows, _ = plane_maps(camera, rotation, translation, np.zeros((1, 3)), np.array([[1.0, 0, 0]]),
                         np.array([[0.0, 0, 1]]))
    u, v, inverse = rows[0] @ np.array([60.0, 46.0, 1.0])
    assert 1 / inverse == pytest.approx(80 * 1.6 / 16)
    assert (u / inverse, v / inverse) == pytest.approx((10 / 80 * 8.0, 8.0))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=16, max_size=16))
def test_homography_equals_projecting_a_moved_point(values):
    """A point of a plane, projected before and after the object and the camera move, against the homography."""
    v = np.array(values)
    before = Camera(256, 128, 220.0, 60.0, (v[0], 1.4, 0.0), yaw=0.1 * v[1], pitch=0.03 * v[2])
    after = Camera(256, 128, 220.0, 60.0, (v[0], 1.4 + 0.1 * v[3], 0.5), yaw=0.1 * v[4], pitch=0.03 * v[5])
    poses = [(np.array([[3 * v[6], 0.0, 12 + 2 * v[7]]]), np.array([v[8]])),
             (np.array([[3 * v[6] + 0.4 * v[9], 0.0, 12 + 2 * v[7] + v[10]]]), np.array([v[8] + 0.1 * v[11]]))]
    axis_u, axis_v = np.array([[1.0, 0, 0]]), np.array([[0.0, np.cos(v[12]), np.sin(v[12])]])
    origin = np.array([[0.0, 1.0, 0.5]])
    point = origin[0] + 2 * v[13] * axis_u[0] + v[14] * axis_v[0]
    motions = [object_to_camera(camera, *pose) for camera, pose in zip((before, after), poses)]
    pixels = []
    for camera, (rotation, translation) in zip((before, after), motions):
        image = camera.intrinsics() @ (rotation[0] @ point + translation[0])
        pixels.append(image / image[2])
    _, plane = plane_maps(before, *motions[0], origin, axis_u, axis_v)
    if np.linalg.norm(plane) > 20:  # seen almost edge on
        return
    mapped = motion_homographies(before, *motions[0], plane, after, *motions[1])[0] @ pixels[0]
    assert mapped / mapped[2] == pytest.approx(pixels[1], abs=1e-6)


def test_clip_near_by_hand():
    triangle = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 3.0], [4.0, 0.0, 3.0]])
    assert clip_near(triangle, 1.0).tolist() == [[0, 0, 1], [0, 0, 3], [4, 0, 3], [2, 0, 1]]
    assert len(clip_near(triangle - (0, 0, 10), 1.0)) == 0
    assert clip_near(triangle + (0, 0, 5), 1.0).tolist() == (triangle + (0, 0, 5)).tolist()


# --------------------------------------------------------------------------------------------------------- rasteriser


def _ray_cast(view, row, column):
    """Index of the nearest surface under a pixel centre, by plane intersection and even-odd test, one by one."""
    camera, scene = view.camera, view.scene
    position, heading = scene.poses(view.time)
    ray = camera.rotation().T @ np.linalg.inv(camera.intrinsics()) @ np.array([column, row, 1.0])
    best, found = np.inf, 0
    for index in range(1, len(scene.label)):
        owner = scene.owner[index]
        c, s = np.cos(heading[owner]), np.sin(heading[owner])
        turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        corners = scene.points[scene.starts[index]:scene.starts[index + 1]]
        world = corners @ turn.T + position[owner]
        normal = np.cross(world[1] - world[0], world[2] - world[1])
        slope = normal @ ray
        if abs(slope) < 1e-12:
            continue
        depth = normal @ (world[0] - np.array(camera.position)) / slope
        if depth <= 0.25 or (scene.cull[index] and slope > 0):
            continue
        point = (np.array(camera.position) + depth * ray - world[0])
        u, v = world[1] - world[0], np.cross(normal, world[1] - world[0])
        outline = np.stack([(world - world[0]) @ u, (world - world[0]) @ v], 1)
        x, y = point @ u, point @ v
        inside = False
        for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, 0)):
            if (y0 > y) != (y1 > y) and x < (x1 - x0) * (y - y0) / (y1 - y0) + x0:
                inside = not inside
        if inside and depth / (1 + 2e-3 * scene.layer[index]) < best:
            best, found = depth / (1 + 2e-3 * scene.layer[index]), index
    return found


def test_rasteriser_agrees_with_ray_casting():
    shot = make_shot('sim', 3, size=(128, 64))
    view = look(shot.scene, shot.camera)
    surface, inverse = rasterise(view, visible_polygons(view))
    kernel = np.ones((3, 3), np.uint8)
    as_float = surface.astype(np.float32)
    inner = cv2.erode(as_float, kernel) == cv2.dilate(as_float, kernel)
    rng = np.random.default_rng(0)
    rows, columns = np.nonzero(inner)
    picks = rng.permutation(len(rows))[:40]
    for row, column in zip(rows[picks], columns[picks]):
        assert surface[row, column] == _ray_cast(view, row, column), (row, column)
    assert ((inverse == 0) == (surface == 0)).all()


def test_nearer_object_hides_the_farther_whatever_the_order():
    material = Material((100.0, 100.0, 100.0))
    maps = []
    for order in ((10.0, 5.0), (5.0, 10.0)):
        builder = SceneBuilder()
        for z in order:
            square = [(-1, -1), (-1, 1), (1, 1), (1, -1)]
            builder.flat(builder.add_object(0.0, z), square, 13 if z == 5.0 else 2, material)
        view = look(builder.build(), Camera(65, 65, 40.0, 32.0, (0.0, 0.0, 0.0)))
        surface, _ = rasterise(view, visible_polygons(view))
        maps.append(view.scene.label[surface])
    assert (maps[0] == maps[1]).all()
    assert (maps[0][24:41, 24:41] == 13).all() and (maps[0] == 2).sum() == 0
    assert maps[0][0, 0] == CLASSES.index('sky')


# --------------------------------------------------------------------------------------------------------------- stills


@pytest.mark.parametrize('domain', ['sim', 'real'])
def test_still_is_consistent(domain):
    for index in range(4):
        item = render_still(domain, index, size=(128, 64))
        assert item['image'].shape == (64, 128, 3) and item['image'].dtype == np.uint8
        assert item['label'].dtype == np.uint8 and set(np.unique(item['label'])) <= {*range(19), VOID}
        assert item['instance'].dtype == np.int32
        assert ((item['instance'] > 0) == np.isin(item['label'], sorted(THINGS))).all()
        for number in np.unique(item['instance'])[1:]:
            assert len(np.unique(item['label'][item['instance'] == number])) == 1
        assert (item['label'] == render_label(domain, index, size=(128, 64))).all()


def test_item_is_a_pure_function_of_its_arguments():
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    base = render_still('real', 5, 'train', 0, SMALL)
    assert (np.random.get_state()[1] == state).all()
    render_still('sim', 1, 'val', 3, SMALL)
    again = render_still('real', 5, 'train', 0, SMALL)
    assert all((base[key] == again[key]).all() for key in base)
    others = [('sim', 5, 'train', 0), ('real', 6, 'train', 0), ('real', 5, 'val', 0), ('real', 5, 'train', 1)]
    for arguments in others:
        assert (render_still(*arguments, SMALL)['label'] != base['label']).mean() > 0.02


def test_geometry_scales_with_the_size():
    """A picture of half the size shows the same street."""
    for index in range(3):
        large, small = (render_label('real', index, size=size) for size in ((256, 128), (128, 64)))
        assert (large[::2, ::2] == small).mean() > 0.9


@pytest.mark.parametrize('arguments, text', [
    ({'domain': 'gta'}, 'choose one of real, sim'), ({'split': 'training'}, 'choose one of train, val, test'),
    ({'size': (16, 128)}, 'at least 32x32, got 16x128'), ({'index': -1}, 'must be >= 0'),
])
def test_bad_arguments_are_named(arguments, text):
    with pytest.raises(ValueError, match=text):
        render_still(**{'domain': 'sim', 'index': 0, **arguments})


def test_every_class_is_common_enough_in_the_real_domain():
    """Each class in at least 8 % of the target training images; rare ones rare, thin ones thin."""
    labels = [render_label('real', index) for index in range(120)]
    images = np.array([[(label == k).any() for k in range(19)] for label in labels]).mean(0)
    pixels = np.array([[(label == k).mean() for k in range(19)] for label in labels]).mean(0)
    assert images.min() >= 0.08, dict(zip(CLASSES, images.round(2)))
    for name in ('train', 'truck', 'bus', 'motorcycle', 'rider', 'wall'):
        assert images[CLASSES.index(name)] <= 0.5, name
    for name in ('pole', 'traffic light', 'traffic sign', 'fence', 'wall', 'rider', 'bicycle', 'motorcycle'):
        assert 0.0005 < pixels[CLASSES.index(name)] < 0.06, name
    assert pixels[CLASSES.index('road')] > 0.2


def test_domains_look_different():
    """sim is saturated and clean; real is dull, with grain on every surface. (Training shows what that gap costs.)"""
    saturation, grain = {}, {}
    for domain in ('sim', 'real'):
        items = [render_still(domain, index, size=(128, 64)) for index in range(10)]
        pictures = [item['image'].astype(float) for item in items]
        saturation[domain] = np.mean([(p.max(-1) - p.min(-1)).mean() for p in pictures])
        steps = [np.abs(np.diff(p, axis=1))[(item['label'][:, 1:] == 0) & (item['label'][:, :-1] == 0)]
                 for p, item in zip(pictures, items)]
        grain[domain] = np.median(np.concatenate(steps))
    assert saturation['sim'] > 1.5 * saturation['real'], saturation
    assert grain['sim'] < 1.5 and grain['real'] > 2 * grain['sim'] + 1, grain


# ---------------------------------------------------------------------------------------------------------------- clips


@pytest.fixture(scope='module', params=['sim', 'real'])
def clip(request):
    return render_clip(request.param, 1, size=(192, 96), num_frames=3)


def _inner(clip, t):
    """Pixels whose 5x5 neighbourhood lies in one instance of one class."""
    code = (clip['instance'][t].astype(np.float32) * 256 + clip['label'][t])
    kernel = np.ones((5, 5), np.uint8)
    return cv2.erode(code, kernel) == cv2.dilate(code, kernel)


def test_warping_the_next_maps_by_flow_gives_this_frame(clip):
    for t in range(2):
        height, width = clip['label'][t].shape
        x = np.round(np.arange(width)[None] + clip['flow'][t][..., 0])
        y = np.round(np.arange(height)[:, None] + clip['flow'][t][..., 1])
        good = clip['visible'][t] & _inner(clip, t)
        assert clip['visible'][t].mean() > 0.8 and good.mean() > 0.3
        rows, columns = y[good].astype(int), x[good].astype(int)
        for key in ('label', 'instance'):
            assert (clip[key][t + 1][rows, columns] == clip[key][t][good]).mean() > 0.999
        moved = np.abs(clip['flow'][t]).max(-1)[good]
        assert moved.max() > 2, 'the clip does not move'


def test_flow_warps_the_picture_better_than_standing_still():
    clip = render_clip('sim', 2, size=(192, 96), num_frames=2)
    grid = np.stack(np.meshgrid(np.arange(192), np.arange(96)), -1).astype(np.float32) + clip['flow'][0]
    warped = cv2.remap(clip['image'][1], grid[..., 0], grid[..., 1], cv2.INTER_LINEAR).astype(float)
    good = clip['visible'][0]
    error = np.abs(warped - clip['image'][0])[good].mean()
    still = np.abs(clip['image'][1].astype(float) - clip['image'][0])[good].mean()
    assert error < 0.5 * still, (error, still)


def test_flow_against_moving_the_point_in_the_world():
    """A few pixels of every kind of surface: intersect the ray in world coordinates, move, project."""
    shot = make_shot('real', 1, size=(192, 96), num_frames=4)
    traced = trace(shot, 1)
    view, surface = traced.view, traced.surface
    next_view = look(shot.scene, shot.camera_at(2), 2)
    flow, _ = exact_flow(view, surface, next_view)
    scene, camera, next_camera = shot.scene, shot.camera_at(1), shot.camera_at(2)
    (position, heading), (next_position, next_heading) = scene.poses(1), scene.poses(2)
    moving = 0
    for index in np.unique(surface)[1:]:
        row, column = np.argwhere(surface == index)[0]
        owner = scene.owner[index]
        c, s = np.cos(heading[owner]), np.sin(heading[owner])
        local = scene.points[scene.starts[index]:scene.starts[index + 1]][:3]
        world = np.array([(c * x + s * z, y, -s * x + c * z) for x, y, z in local]) + position[owner]
        normal = np.cross(world[1] - world[0], world[2] - world[0])
        ray = camera.rotation().T @ np.array([(column - 95.5) / camera.focal_px,
                                              (row - camera.horizon_px) / camera.focal_px, 1.0])
        if abs(normal @ ray) < 1e-3 * np.linalg.norm(normal):  # seen edge on
            continue
        point = ray * (normal @ (world[0] - np.array(camera.position)) / (normal @ ray)) + np.array(camera.position)
        rest = point - position[owner]
        body = np.array([c * rest[0] - s * rest[2], rest[1], s * rest[0] + c * rest[2]])
        c, s = np.cos(next_heading[owner]), np.sin(next_heading[owner])
        moved = np.array([c * body[0] + s * body[2], body[1], -s * body[0] + c * body[2]]) + next_position[owner]
        x, y, z = next_camera.rotation() @ (moved - np.array(next_camera.position))
        expected = (x / z * camera.focal_px + 95.5 - column, y / z * camera.focal_px + camera.horizon_px - row)
        assert flow[:, row, column] == pytest.approx(expected, abs=1e-2, rel=1e-3)
        moving += np.abs(scene.velocity[owner]).max() > 0
    assert moving > 3


def test_sky_flow_is_pure_rotation():
    shot = make_shot('sim', 0, size=(192, 96), num_frames=3)
    traced = trace(shot, 0)
    view, surface = traced.view, traced.surface
    flow, _ = exact_flow(view, surface, look(shot.scene, shot.camera_at(1), 1))
    row, column = np.argwhere(surface == 0)[0]
    before, after = shot.camera_at(0), shot.camera_at(1)
    ray = np.linalg.inv(before.intrinsics()) @ np.array([column, row, 1.0])
    x, y, z = after.intrinsics() @ after.rotation() @ before.rotation().T @ ray
    assert flow[:, row, column] == pytest.approx((x / z - column, y / z - row), abs=1e-3)


def test_instances_keep_their_class_through_a_clip(clip):
    for number in np.unique(clip['instance'])[1:]:
        assert len(np.unique(clip['label'][clip['instance'] == number])) == 1
    shared = set(np.unique(clip['instance'][0])) & set(np.unique(clip['instance'][2]))
    assert len(shared) > 2


def test_points_that_leave_the_picture_are_not_visible(clip):
    x = np.arange(192)[None] + clip['flow'][0][..., 0]
    y = np.arange(96)[:, None] + clip['flow'][0][..., 1]
    outside = (x < -0.5) | (x > 191.5) | (y < -0.5) | (y > 95.5)
    assert outside.any() and not clip['visible'][0][outside].any()


def _card_before_a_wall():
    """A card of 2 m x 2 m at 10 m, moving 0.5 m a frame to the right, before a wall at 20 m; f = 100, camera still."""
    builder, material = SceneBuilder(), Material((100.0, 100.0, 100.0))
    wall = builder.add_object(0.0, 20.0)
    builder.flat(wall, [(-30, -30), (-30, 30), (30, 30), (30, -30)], 2, material)
    card = builder.add_object(0.0, 10.0, velocity=(0.5, 0.0))
    builder.flat(card, [(-1, -1), (-1, 1), (1, 1), (1, -1)], 13, material)
    camera = Camera(101, 61, 100.0, 30.0, (0.0, 0.0, 0.0))
    views = [look(builder.build(), camera, t) for t in (0, 1)]
    return views, [rasterise(view, visible_polygons(view)) for view in views]


def test_flow_of_a_moving_card_by_hand():
    """0.5 m at 10 m with f = 100 is 5 px; the wall stands still."""
    views, ((surface, _), _) = _card_before_a_wall()
    flow, inverse_depth = exact_flow(views[0], surface, views[1])
    label = views[0].scene.label[surface]
    assert (label[20:41, 40:61] == 13).all() and (label == 13).sum() == 21 * 21
    assert flow[:, label == 13].T == pytest.approx(np.tile([5.0, 0.0], (21 * 21, 1)), abs=1e-4)
    assert np.abs(flow[:, label == 2]).max() < 1e-4
    assert inverse_depth[30, 50] == pytest.approx(0.1) and inverse_depth[0, 0] == pytest.approx(0.05)


def test_only_what_the_card_covers_next_is_not_visible():
    """The card spans columns 40..60 and then 45..65: the wall at columns 61..65 is hidden in the next frame."""
    views, ((surface, _), (next_surface, next_depth)) = _card_before_a_wall()
    seen = visible(*exact_flow(views[0], surface, views[1]), surface, next_surface, next_depth)
    expected = np.ones((61, 101), bool)
    expected[20:41, 61:66] = False
    assert (seen == expected).all()


def test_clip_needs_two_frames():
    with pytest.raises(ValueError, match='at least 2 frames, got num_frames=1'):
        render_clip('sim', 0, num_frames=1)
