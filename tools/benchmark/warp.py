# SPDX-License-Identifier: Apache-2.0
"""Warping and visibility against the literal loop over pixels, and beside reading the PNG of a frame.

    python tools/benchmark/warp.py --sizes 64x32 256x128 --frame 2048x1024 --threads 1

The literal side visits one pixel after the other (two Python loops, numpy arrays) and does for it what the formula says: four
taps for bilinear sampling, one for labels, exp(-alpha ||.||) for photometric visibility, the backward flow sampled where the
flow leads for forward-backward visibility. The numbers of both sides are compared in every turn: labels must be the same, the
largest difference of a value and the share of visibilities that differ are printed (ours are float32, the loop's float64; a
pixel on the threshold may fall on either side) and must not be more than ``TOLERANCE``.

Frames and flow are smooth and random, flow in steps of 1/64 pixel, as KITTI's PNGs store it; some of it leads outside. The
second table has no literal side, which takes too long there: at the size of a whole frame, every operation as a ratio to reading
the PNG of that frame, and that of its labels, with OpenCV. Frames have some noise, as cameras have, without which their PNGs
would be too easy to read.

All sides live in one process and take turns; ratios of medians, in brackets quartiles of the ratios turn by turn.
"""
import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported
from udatools.engine.benchmarking import in_turns, parse_size, ratio  # noqa: E402
from udatools.ops.warp import PHOTOMETRIC_ALPHA, forward_backward_visibility, photometric_visibility, warp, warp_labels  # noqa: E402

CLASSES = 19
TOLERANCE = {'warp, bilinear': 1e-4, 'warp_labels': 0.0, 'photometric_visibility': 1e-3, 'forward_backward_visibility': 1e-3}
Arrays = dict[str, np.ndarray]


def smooth(rng: np.random.Generator, channels: int, size: tuple[int, int]) -> np.ndarray:
    """float64, (channels, H, W), a random field of unit variance that varies over an eighth of the frame."""
    coarse = rng.standard_normal((10, 10, channels))
    return np.moveaxis(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC).reshape(*size[::-1], channels), 2, 0)


def make_frames(size: tuple[int, int]) -> Arrays:
    """``image`` and ``reference`` (3, H, W), uint8; ``label`` (H, W), uint8; ``flow`` and ``back_flow`` (2, H, W), float32.

    Both visibilities find some pixels visible and others not: in about a third of the frame the image is brighter than the
    reference, in another third the backward flow leads somewhere else.
    """
    rng = np.random.default_rng(0)
    flow = size[0] / 64 * smooth(rng, 2, size)
    back_flow = -flow + np.where(smooth(rng, 1, size) > 0.5, 0.1 * size[0], 0)
    reference = 128 + 40 * smooth(rng, 3, size) + 3 * rng.standard_normal((3, *size[::-1]))
    image = reference + np.where(smooth(rng, 1, size) > 0.5, 60, 3 * rng.standard_normal((3, *size[::-1])))
    label = ((smooth(rng, 1, size)[0] + 3) / 6 * CLASSES).clip(0, CLASSES - 1)
    images = {name: values.round().clip(0, 255).astype(np.uint8) for name, values in (('reference', reference), ('image', image))}
    flows = {name: ((64 * values).round() / 64).astype(np.float32) for name, values in (('flow', flow), ('back_flow', back_flow))}
    return images | flows | dict(label=label.astype(np.uint8))


def literal_warp(values: np.ndarray, flow: np.ndarray, nearest: bool = False, fill: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """(C, H, W) at the positions of the flow (2, H, W), and which of them lie inside; ``fill`` elsewhere."""
    _, height, width = values.shape
    warped, inside = np.full(values.shape, fill, values.dtype), np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            at_x, at_y = x + float(flow[0, y, x]), y + float(flow[1, y, x])
            if not (0 <= at_x <= width - 1 and 0 <= at_y <= height - 1):
                continue
            inside[y, x] = True
            if nearest:
                warped[:, y, x] = values[:, math.floor(at_y + 0.5), math.floor(at_x + 0.5)]
                continue
            left, top = math.floor(at_x), math.floor(at_y)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            of_right, of_bottom = at_x - left, at_y - top
            warped[:, y, x] = ((1 - of_bottom) * ((1 - of_right) * values[:, top, left] + of_right * values[:, top, right])
                               + of_bottom * ((1 - of_right) * values[:, bottom, left] + of_right * values[:, bottom, right]))
    return warped, inside


def literal_photometric(image: np.ndarray, warped: np.ndarray, threshold: float = 0.7) -> np.ndarray:
    """The paper's rule, pixel by pixel."""
    _, height, width = image.shape
    visible = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            distance = math.sqrt(((image[:, y, x] - warped[:, y, x])**2).sum())
            visible[y, x] = math.exp(-PHOTOMETRIC_ALPHA * distance) > threshold
    return visible


def literal_forward_backward(flow: np.ndarray, back_flow: np.ndarray) -> np.ndarray:
    """The rule of Sundaram et al., pixel by pixel."""
    returned, visible = literal_warp(back_flow, flow)
    for y in range(flow.shape[1]):
        for x in range(flow.shape[2]):
            there, back = flow[:, y, x], returned[:, y, x]
            visible[y, x] &= ((there + back)**2).sum() < 0.01 * ((there**2).sum() + (back**2).sum()) + 0.5
    return visible


def operations(frames: Arrays) -> dict[str, Callable[[], np.ndarray]]:
    """What a training calls, by name, on a batch of one."""
    tensors = {name: torch.from_numpy(array)[None] for name, array in frames.items()}
    image, reference = (tensors[name].float() / 255 for name in ('image', 'reference'))
    flow, back_flow, label = tensors['flow'], tensors['back_flow'], tensors['label'].long()
    warped, _ = warp(reference, flow)
    return {
        'warp, bilinear': lambda: warp(reference, flow)[0][0].numpy(),
        'warp_labels': lambda: warp_labels(label, flow)[0].numpy(),
        'photometric_visibility': lambda: photometric_visibility(image, warped)[0].numpy(),
        'forward_backward_visibility': lambda: forward_backward_visibility(flow, back_flow)[0].numpy(),
    }


def literal_operations(frames: Arrays) -> dict[str, Callable[[], np.ndarray]]:
    """The same, one pixel after the other."""
    exact = {name: array.astype(np.float64) for name, array in frames.items()}
    image, reference = exact['image'] / 255, exact['reference'] / 255
    label = frames['label'][None].astype(np.int64)
    warped, _ = literal_warp(reference, frames['flow'])
    return {
        'warp, bilinear': lambda: literal_warp(reference, frames['flow'])[0],
        'warp_labels': lambda: literal_warp(label, frames['flow'], nearest=True, fill=255)[0][0],
        'photometric_visibility': lambda: literal_photometric(image, warped),
        'forward_backward_visibility': lambda: literal_forward_backward(exact['flow'], exact['back_flow']),
    }


def difference(ours: np.ndarray, literal: np.ndarray) -> float:
    """Largest difference of values, or share of pixels whose label or visibility differs."""
    if ours.dtype.kind == 'f':
        return float(np.abs(ours - literal).max())
    return float((ours != literal).mean())


def measure_literal(size: tuple[int, int], repeats: int) -> list[dict[str, Any]]:
    """One row an operation: ``time`` of ours / literal, and the largest ``difference`` of all turns.

    Raises:
        RuntimeError: when they differ by more than ``TOLERANCE``.
    """
    frames, rows = make_frames(size), []
    literal = literal_operations(frames)
    for name, ours in operations(frames).items():
        found = []

        def check(results: dict[str, np.ndarray], name: str = name, found: list[float] = found) -> None:
            found.append(difference(results['udatools'], results['literal']))
            if found[-1] > TOLERANCE[name]:
                raise RuntimeError(f'{name} and the literal loop differ by {found[-1]:.3g} at {size[0]}x{size[1]}; '
                                   f'at most {TOLERANCE[name]:g} is rounding')

        seconds, _ = in_turns(dict(udatools=ours, literal=literal[name]), repeats, check=check)
        rows.append(dict(size=list(size), operation=name, time=ratio(seconds['udatools'], seconds['literal']),
                         difference=max(found)))
    return rows


def measure_frame(size: tuple[int, int], repeats: int) -> list[dict[str, Any]]:
    """One row an operation: its time as a ratio to reading the PNG of a frame (``image``) and of its labels (``label``)."""
    frames = make_frames(size)
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: f'{folder}/{name}.png' for name in ('image', 'label')}
        cv2.imwrite(paths['image'], np.moveaxis(frames['image'], 0, 2))
        cv2.imwrite(paths['label'], frames['label'])
        sides: dict[str, Callable[[], np.ndarray]] = {
            name: lambda path=path: cv2.imread(path, cv2.IMREAD_UNCHANGED) for name, path in paths.items()}
        seconds, _ = in_turns(sides | operations(frames), repeats)
    return [dict(size=list(size), operation=name, **{side: ratio(seconds[name], seconds[side]) for side in paths})
            for name in TOLERANCE]


def format_tables(literal: list[dict[str, Any]], frame: list[dict[str, Any]]) -> str:
    """The printed tables, in Markdown."""
    lines = ['| size | operation | time / literal loop | differs by |', '|---|---|---|---|']
    for row in literal:
        apart = f'{row["difference"]:.0e}' if row['difference'] else '0'
        lines.append(f'| {"x".join(map(str, row["size"]))} | `{row["operation"]}` | {row["time"]} | {apart} |')
    lines += ['', '| size | operation | time / reading the frame | time / reading its labels |', '|---|---|---|---|']
    lines += [f'| {"x".join(map(str, row["size"]))} | `{row["operation"]}` | {row["image"]} | {row["label"]} |' for row in frame]
    return '\n'.join(lines)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sizes', type=parse_size, nargs='+', default=[(64, 32), (256, 128)], metavar='WIDTHxHEIGHT',
                        help='of the comparison with the literal loop')
    parser.add_argument('--frame', type=parse_size, default=(2048, 1024), metavar='WIDTHxHEIGHT',
                        help='of the comparison with reading')
    parser.add_argument('--repeats', type=int, default=7, help='turns of each side')
    parser.add_argument('--threads', type=int, help='torch.set_num_threads')
    parser.add_argument('--json', type=Path, help='also write the numbers to this file')
    args = parser.parse_args(argv)
    if args.repeats < 1:
        parser.error(f'--repeats is {args.repeats}; expected at least 1')
    return args


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
        cv2.setNumThreads(args.threads)
    literal = [row for size in args.sizes for row in measure_literal(size, args.repeats)]
    frame = measure_frame(args.frame, args.repeats)
    print(format_tables(literal, frame))
    if args.json:
        args.json.write_text(json.dumps(dict(literal=literal, frame=frame), indent=2) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
