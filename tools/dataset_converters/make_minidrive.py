#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Generate MiniDrive, the embedded street scenes, in native formats, and print how often each class occurs.

Stills by default; with --video clips with exact optical flow, in the layouts of VIPER and Cityscapes-VPS. Both may lie in one
folder. Stop it at any time; the same command goes on.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

try:
    import udatools  # noqa: F401
except ImportError:  # run from a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from udatools.datasets.minidrive import (
    Clip,
    generate_minidrive,
    generate_minidrive_video,
    render_clip,
    render_label,
    render_still,
)
from udatools.datasets.minidrive.taxonomy import CLASSES, VIPER_RAW_IDS, VIPER_VOID, VOID, colour_label
from udatools.datasets.minidrive.writers import FORMATS, write_clip
from udatools.utils.png import read_png
from udatools.visualization.flow_colours import colourise_flow


def parse_size(text: str) -> tuple[int, int]:
    """``256x128`` to (256, 128)."""
    try:
        width, height = (int(part) for part in text.lower().split('x'))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'size {text!r} is not WIDTHxHEIGHT, for instance 256x128') from error
    return width, height


def class_table(labels: dict[str, list[np.ndarray]]) -> str:
    """Share of pixels and share of images in which each class occurs, for each named list of label maps."""
    lines = [f"{'class':15s}" + ''.join(f'{name + " pixels":>18s}{"images":>9s}' for name in labels)]
    for train_id, name in enumerate(CLASSES):
        cells = ''
        for maps in labels.values():
            pixels = np.mean([(m == train_id).mean() for m in maps]) if maps else 0.0
            images = np.mean([(m == train_id).any() for m in maps]) if maps else 0.0
            cells += f'{100 * pixels:16.2f} %{100 * images:7.0f} %'
        lines.append(f'{name:15s}{cells}')
    return '\n'.join(lines)


def contact_sheet(domain: str, seed: int, size: tuple[int, int], count: int = 12) -> np.ndarray:
    """Images next to their coloured labels, two pairs a row: uint8 (H, W, 3), BGR."""
    pairs = []
    for index in range(count):
        item = render_still(domain, index, 'train', seed, size)
        pairs.append(np.concatenate([item['image'], colour_label(item['label'])], 1))
    rows = [np.concatenate(pairs[k:k + 2], 1) for k in range(0, count, 2)]
    return np.ascontiguousarray(np.concatenate(rows)[:, :, ::-1])


def video_sheet(seed: int, size: tuple[int, int], num_frames: int = 30) -> np.ndarray:
    """Two frames of a clip of each domain, each with its label, the flow to the next frame and the numbers of things.

    Returns:
        uint8, (H, W, 3), BGR.
    """
    rows = []
    for domain in ('sim', 'real'):
        clip = Clip(domain, 0, 'train', seed, size, num_frames)
        for time in (num_frames // 3, num_frames // 2):
            item = clip.item(time)
            flow = colourise_flow(*clip.flow(time, 1), largest_px=size[0] / 32)
            rows.append(np.concatenate([item['image'], colour_label(item['label']), flow, colour_things(item)], 1))
    return np.ascontiguousarray(np.concatenate(rows)[:, :, ::-1])


def colour_things(item: dict[str, np.ndarray]) -> np.ndarray:
    """A frame in dark grey with a colour for each number of a thing: uint8 (H, W, 3), RGB."""
    hues = np.arange(256) * 67 % 180  # far apart for neighbouring numbers
    table = cv2.cvtColor(np.stack([hues, np.full(256, 200), np.full(256, 255)], -1)[None].astype(np.uint8), cv2.COLOR_HSV2RGB)[0]
    grey = np.repeat(item['image'].mean(-1, keepdims=True) * 0.45, 3, -1).astype(np.uint8)
    return np.where(item['instance'][..., None] > 0, table[item['instance'] % 256], grey)


def video_labels(root: Path) -> dict[str, list[np.ndarray]]:
    """Label maps of train ids of the written clips, by domain and split."""
    lut = np.full(256, VOID, np.uint8)
    for train_id, raw in reversed(list(enumerate(VIPER_RAW_IDS))):
        if raw != VIPER_VOID:
            lut[raw] = train_id
    labels = {'sim': [lut[read_png(path)] for path in sorted((root / 'viper/train/cls').rglob('*.png'))]}
    for split in ('train', 'val'):
        paths = sorted((root / f'cityscapes_vps/{split}/labelmap').glob('*.png'))
        labels[f'real {split}'] = [read_png(path) for path in paths]
    return labels


def make_stills(args: argparse.Namespace) -> dict[str, list[np.ndarray]]:
    """Write stills, and clips in a plain layout where asked; returns their label maps for statistics."""
    root = generate_minidrive(args.root, size=args.size, seed=args.seed, num_source=args.num_source,
                              num_target_train=args.num_target_train, num_target_val=args.num_target_val,
                              formats=args.formats, overwrite=args.overwrite)
    for domain in ('sim', 'real'):
        for index in range(args.clips):
            clip = render_clip(domain, index, 'train', args.seed, args.size, args.clip_frames)
            write_clip(root, f'{domain}_{index:03d}', clip)
    if not args.stats:
        return {}
    counts = {'sim': ('sim', 'train', args.num_source), 'real train': ('real', 'train', args.num_target_train),
              'real val': ('real', 'val', args.num_target_val)}
    return {name: [render_label(domain, k, split, args.seed, args.size) for k in range(count)]
            for name, (domain, split, count) in counts.items()}


def make_video(args: argparse.Namespace) -> dict[str, list[np.ndarray]]:
    """Write clips; returns their label maps for statistics."""
    root = generate_minidrive_video(args.root, size=args.size, seed=args.seed, source_clips=args.source_clips,
                                    source_frames=args.source_frames, target_clips=args.target_clips,
                                    target_frames=args.target_frames, val_clips=args.val_clips, val_frames=args.val_frames,
                                    nproc=args.nproc, overwrite=args.overwrite)
    return video_labels(root) if args.stats else {}


def write_sheets(args: argparse.Namespace) -> None:
    """Write the pictures of ``--sheet``."""
    args.sheet.mkdir(parents=True, exist_ok=True)
    if args.video:
        cv2.imwrite(str(args.sheet / 'minidrive_video.png'), video_sheet(args.seed, args.size, args.val_frames))
        return
    for domain in ('sim', 'real'):
        cv2.imwrite(str(args.sheet / f'minidrive_{domain}.png'), contact_sheet(domain, args.seed, args.size))


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--root', default='data/minidrive', help='folder to write to')
    parser.add_argument('--size', type=parse_size, default=(256, 128), help='WIDTHxHEIGHT')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--overwrite', action='store_true', help='replace MiniDrive data of other parameters')
    parser.add_argument('--sheet', type=Path, default=None, help='folder for contact sheets of both domains')
    parser.add_argument('--stats', action=argparse.BooleanOptionalAction, default=True, help='print class statistics')
    parser.add_argument('--video', action='store_true', help='write clips instead of stills')
    stills = parser.add_argument_group('stills')
    stills.add_argument('--num-source', type=int, default=200, help='stills of the simulated domain')
    stills.add_argument('--num-target-train', type=int, default=150, help='training stills of the real domain')
    stills.add_argument('--num-target-val', type=int, default=60, help='validation stills of the real domain')
    stills.add_argument('--formats', nargs='+', choices=sorted(FORMATS), default=['gta5', 'cityscapes'])
    stills.add_argument('--clips', type=int, default=0, help='clips of each domain to write too, in a plain layout')
    stills.add_argument('--clip-frames', type=int, default=8, help='frames of each of those')
    video = parser.add_argument_group('clips, with --video')
    video.add_argument('--source-clips', type=int, default=120, help='clips of the simulated domain')
    video.add_argument('--source-frames', type=int, default=4, help='frames of each, all labelled')
    video.add_argument('--target-clips', type=int, default=80, help='training clips of the real domain')
    video.add_argument('--target-frames', type=int, default=10, help='frames of each, every fifth labelled')
    video.add_argument('--val-clips', type=int, default=18, help='validation clips of the real domain')
    video.add_argument('--val-frames', type=int, default=30, help='frames of each, every fifth labelled')
    video.add_argument('--nproc', type=int, default=1, metavar='N', help='processes; the result is the same for any number')
    return parser


def main() -> None:
    """Command line."""
    parser = make_parser()
    args = parser.parse_args()
    try:
        labels = make_video(args) if args.video else make_stills(args)
    except (ValueError, OSError, RuntimeError) as error:
        parser.exit(1, f'{parser.prog}: {error}\n')
    if args.sheet:
        write_sheets(args)
    if labels:
        print(class_table(labels))
    print(f"MiniDrive in {args.root}: {'viper, cityscapes_vps, flow' if args.video else ', '.join(args.formats)}")


if __name__ == '__main__':
    main()
