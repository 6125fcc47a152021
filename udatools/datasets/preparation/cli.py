# SPDX-License-Identifier: Apache-2.0
"""The command line that the scripts in ``tools/dataset_converters`` share."""
from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from udatools.datasets.domain_dataset import DomainDataset, name_some
from udatools.datasets.taxonomies import read_json_object
from udatools.registry import DATASETS

from .prepare import REPORT, STATISTICS, check_source, prepare_source
from .statistics import ClassStatistics, rare_class_probabilities
from .verify import DomainPairs, PairRecord, PairSource, summarise_records

BAD_SHOWN = 20
MakeSource = Callable[[argparse.Namespace, str, Path], PairSource]


def make_parser(description: str, *, classes: str = 'cityscapes19') -> argparse.ArgumentParser:
    """The options that all scripts have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', type=Path, help='root folder of the data set')
    parser.add_argument('--split', nargs='+', default=['train'], metavar='NAME', help='splits (default: train)')
    parser.add_argument('--classes', default=classes, metavar='NAME|FILE.json',
                        help=f'class set that statistics are of, or a JSON file with "name" and "classes" (default: {classes})')
    parser.add_argument('--label-map', metavar='FILE.json',
                        help='raw label id or raw name -> class, in place of the data set\'s own map')
    parser.add_argument('--images-only', action='store_true', help='do not look at labels: of a target that has none')
    parser.add_argument('--check', action='store_true',
                        help='only look: write nothing, exit with 1 if there are bad pairs')
    parser.add_argument('--out', type=Path, help='folder to write to (default: ROOT/udatools)')
    parser.add_argument('--nproc', type=int, default=min(4, os.cpu_count() or 1), metavar='N',
                        help='processes; the result is the same for any number (default: %(default)s)')
    return parser


def parse_size(text: str) -> tuple[int, int]:
    """``480x360`` to (480, 360)."""
    width, cross, height = text.lower().partition('x')
    if not cross or not width.isdigit() or not height.isdigit() or not int(width) or not int(height):
        raise argparse.ArgumentTypeError(f'size {text!r} is not WIDTHxHEIGHT, for instance 480x360')
    return int(width), int(height)


def default_source(args: argparse.Namespace, split: str, out: Path, *, kind: str, **kwargs: Any) -> PairSource:
    """The pairs of a data set in its native layout, as the options say."""
    dataset: type[DomainDataset] = DATASETS.get(kind)
    label_map = read_json_object(args.label_map) if args.label_map else None
    return DomainPairs(dataset, args.root, images_only=args.images_only, split=split, classes=args.classes,
                       label_map=label_map, **kwargs)


def run(parser: argparse.ArgumentParser, make_source: MakeSource | str, argv: Sequence[str] | None = None) -> int:
    """Verifies each split and, without ``--check``, writes its files.

    Args:
        parser (ArgumentParser): Of :func:`make_parser`, perhaps with more options.
        make_source (Callable | str): Makes the pairs of (arguments, split, folder to write to); or the data set's class.
        argv (Sequence[str], optional): Arguments; by default those of the process.

    Returns:
        int: 0; or 1 with ``--check`` and bad pairs or labels without an image, when a conversion has gaps, or after an error.
    """
    args = parser.parse_args(argv)
    if args.nproc < 1:
        parser.error(f'--nproc {args.nproc}: expected at least 1')
    make = partial(default_source, kind=make_source) if isinstance(make_source, str) else make_source
    out = args.out or args.root / 'udatools'
    try:
        return max(_run_split(args, make(args, split, out), split, out) for split in args.split)
    except KeyboardInterrupt:
        print('\nstopped; the same command goes on from here' if not args.check else '\nstopped', file=sys.stderr)
        return 130
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        text = str(error.args[0] if isinstance(error, KeyError) else error)
        text = text.replace('--work-dir', '--out').replace(', then --resume', '')  # what writes was made for trainings
        if getattr(error, 'errno', None) in (errno.EACCES, errno.EPERM, errno.EROFS) and not args.out:
            text += '\nIf the root is read-only, give a folder of your own with --out.'
        print(f'error: {text}', file=sys.stderr)
    return 1


def _run_split(args: argparse.Namespace, source: PairSource, split: str, out: Path) -> int:
    out = source.out or out
    folder = out / f'{split}_{"images" if args.images_only else source.class_set.name}'
    title = f'{args.root} {split}'
    if args.check:
        records = check_source(source, nproc=args.nproc, title=title)
    else:
        records = prepare_source(source, folder, nproc=args.nproc, title=title)
    print(format_records(records, source, title))
    lost = source.labels_without_image()
    if lost:
        print(f'{len(lost)} labels have no image: {name_some(lost)}')
    if gaps := source.gaps():
        print(gaps)
    if not args.check:
        print('\n'.join(f'wrote {path}' for path in (folder / REPORT, folder / STATISTICS) if path.exists()))
        if source.converts:
            print(f'wrote the converted images and labels to {out}; use it as data_root')
    bad = bool(lost) or any(not record.good for record in records)
    return int(bad and (args.check or source.converts))


def format_records(records: Sequence[PairRecord], source: PairSource, title: str) -> str:
    """Formats what was found as plain text.

    Args:
        records (Sequence[PairRecord]): Of all pairs.
        source (PairSource): Whose they are.
        title (str): Of the first line.

    Returns:
        str: Counts, the first bad pairs, sizes, and a table of classes if there are labels.
    """
    found = summarise_records(records)
    what = 'pairs' if any(record.counts for record in records) else 'images'
    lines = [f'{title}: {found["images"]} {what}, {found["good"]} good, {found["images"] - found["good"]} bad']
    if found['bad']:
        lines.append('bad (nothing was changed or deleted): '
                     + ', '.join(f'{number} x {kind}' for kind, number in found['problems'].items()))
        lines += [f'  {entry["key"]}  [{entry["problem"]}]  {entry["text"]}' for entry in found['bad'][:BAD_SHOWN]]
        if len(found['bad']) > BAD_SHOWN:
            lines.append(f'  ... {len(found["bad"]) - BAD_SHOWN} more')
    sizes = [f'{size} x {number}' for size, number in found['sizes'].items()]
    lines.append(f'image sizes: {", ".join(sizes[:8])}{", ..." if len(sizes) > 8 else ""}')
    if found['unlabelled']:
        lines.append(f'{found["unlabelled"]} pairs have no labelled pixel at all: is --classes right?')
    if what == 'pairs':
        statistics = ClassStatistics({}, source.class_set.name, source.class_set.classes,
                                     {record.key: record.counts for record in records if record.good})
        lines += ['', format_statistics(statistics)]
    return '\n'.join(lines)


def format_statistics(statistics: ClassStatistics) -> str:
    """Formats the classes as a table: share of pixels, images, and how often rare-class sampling would draw each."""
    pixels, images = statistics.pixels, statistics.image_counts
    total = max(1, int(pixels.sum()) + statistics.ignored)
    probability = rare_class_probabilities(pixels) if pixels.any() else pixels * 0.0
    width = max(len(name) for name in (*statistics.classes, 'class'))
    lines = [f'{"class":<{width}}  {"pixels %":>9}  {"images":>7}  {"rare-class P, T=0.01":>20}']
    for name, n, m, p in zip(statistics.classes, pixels, images, probability):
        lines.append(f'{name:<{width}}  {100 * n / total:9.3f}  {m:7d}  {p:20.4f}' + ('' if n else '   never occurs'))
    lines.append(f'{"(ignored)":<{width}}  {100 * statistics.ignored / total:9.3f}')
    return '\n'.join(lines)


