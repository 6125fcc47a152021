#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Generate MiniDrive, the embedded street scenes, in native formats, and print how often each class occurs."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

try:
    from udatools.datasets.minidrive import generate_minidrive, render_clip, render_label, render_still
except ImportError:  # run from a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from udatools.datasets.minidrive import generate_minidrive, render_clip, render_label, render_still
from udatools.datasets.minidrive.taxonomy import CLASSES, colour_label
from udatools.datasets.minidrive.writers import FORMATS, write_clip


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


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--root', default='data/minidrive', help='folder to write to')
    parser.add_argument('--size', type=parse_size, default=(256, 128), help='WIDTHxHEIGHT')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--num-source', type=int, default=200, help='stills of the simulated domain')
    parser.add_argument('--num-target-train', type=int, default=150, help='training stills of the real domain')
    parser.add_argument('--num-target-val', type=int, default=60, help='validation stills of the real domain')
    parser.add_argument('--formats', nargs='+', choices=sorted(FORMATS), default=['gta5', 'cityscapes'])
    parser.add_argument('--overwrite', action='store_true', help='replace MiniDrive data of other parameters')
    parser.add_argument('--clips', type=int, default=0, help='number of clips of each domain to write too')
    parser.add_argument('--clip-frames', type=int, default=8)
    parser.add_argument('--sheet', type=Path, default=None, help='folder for contact sheets of both domains')
    parser.add_argument('--stats', action=argparse.BooleanOptionalAction, default=True, help='print class statistics')
    args = parser.parse_args()
    try:
        root = generate_minidrive(args.root, size=args.size, seed=args.seed, num_source=args.num_source,
                                  num_target_train=args.num_target_train, num_target_val=args.num_target_val,
                                  formats=args.formats, overwrite=args.overwrite)
    except (ValueError, OSError) as error:
        parser.exit(1, f'{parser.prog}: {error}\n')
    for domain in ('sim', 'real'):
        for index in range(args.clips):
            clip = render_clip(domain, index, 'train', args.seed, args.size, args.clip_frames)
            write_clip(root, f'{domain}_{index:03d}', clip)
    if args.sheet:
        args.sheet.mkdir(parents=True, exist_ok=True)
        for domain in ('sim', 'real'):
            cv2.imwrite(str(args.sheet / f'minidrive_{domain}.png'), contact_sheet(domain, args.seed, args.size))
    if args.stats:
        counts = {'sim': ('sim', 'train', args.num_source), 'real train': ('real', 'train', args.num_target_train),
                  'real val': ('real', 'val', args.num_target_val)}
        print(class_table({name: [render_label(domain, k, split, args.seed, args.size) for k in range(count)]
                           for name, (domain, split, count) in counts.items()}))
    print(f"MiniDrive in {root}: {', '.join(args.formats)}")


if __name__ == '__main__':
    main()
