# SPDX-License-Identifier: Apache-2.0
"""Fetch a published network by name: ``python tools/download.py NAME --out DIR``; ``--list`` says what there is.

Names are those of the zoo (docs/model_zoo.md), and backbones as configs name them, such as torchvision://resnet101. Files are
checked by their SHA-256; what was interrupted goes on with the same command; mirrors are asked in their order; --offline takes
the file from a folder and asks nobody.
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', nargs='*', help='what to fetch')
    parser.add_argument('--list', action='store_true', help='show what is published, and what of it is on this machine')
    parser.add_argument('--out', type=Path, help='folder (default: UDATOOLS_WEIGHTS, or the cache of torch, where it is found)')
    parser.add_argument('--mirror', nargs='+', metavar='URL',
                        help='base addresses that hold the files under their names, asked before the published one (default: '
                             'UDATOOLS_WEIGHTS_MIRROR)')
    parser.add_argument('--offline', type=Path, metavar='DIR', help='a folder with the files; no server is asked')
    args = parser.parse_args(argv)
    if not args.list and not args.name:
        parser.error('name what to fetch, or use --list')
    if args.offline and args.mirror:
        parser.error('--offline asks no server; leave out --mirror')
    return args


def show_list() -> None:
    """The table of ``--list``."""
    from udatools.models.backbones.weights import weights_folders
    from udatools.zoo.catalogue import read_backbones, read_checkpoints
    rows = [('name', 'mIoU', 'data', 'size', 'where')]
    for entry in (read_checkpoints() | read_backbones()).values():
        found = next((folder / entry.file for folder in weights_folders() if (folder / entry.file).is_file()), None)
        where = 'built in' if entry.built_in else str(found or 'not on this machine')
        rows.append((entry.name, f'{entry.miou:.1f}' if entry.miou is not None else '-', entry.data or '-',
                     f'{entry.bytes / 2**20:.1f} MiB' if entry.bytes else '-', where))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print('  '.join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[4]]))


def fetch(name: str, args: argparse.Namespace) -> None:
    """Fetches one file, writes its config beside it, and says how it is used."""
    from udatools.models.backbones.weights import weights_folders
    from udatools.utils.atomic import write_text_atomic
    from udatools.zoo.catalogue import default_mirrors, find_checkpoint, obtain
    entry = find_checkpoint(name)
    if entry.built_in and args.out is None:
        print(f'{name} is built in: {entry.built_in}\nUse it: python tools/infer.py {name} INPUT --out DIR')
        return
    path = obtain(entry, args.out or weights_folders()[0], offline=args.offline,
                  mirrors=default_mirrors() if args.mirror is None else args.mirror)
    print(path)
    if not entry.config:
        print(f"Use it: segmentor.backbone.weights='{name}'" if args.out is None else
              f"Use it: segmentor.backbone.weights='{path}', or UDATOOLS_WEIGHTS={path.parent}")
        return
    from udatools.engine.runner.checkpoints import read_checkpoint
    config = path.parent / f'{name}.py'
    write_text_atomic(config, read_checkpoint(path)['meta']['cfg'])
    print(f'Use it: python tools/infer.py {path} INPUT --out DIR\nTest it: python tools/test.py {config} {path}')


def run(args: argparse.Namespace) -> None:
    """Lists, then fetches."""
    if args.list:
        show_list()
    for name in args.name:
        fetch(name, args)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 failed with a reason on stderr, 130 stopped."""
    args = parse_args(argv)
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args), stopped='stopped; the same command goes on')


if __name__ == '__main__':
    sys.exit(main())
