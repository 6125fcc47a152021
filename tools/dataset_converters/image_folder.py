# SPDX-License-Identifier: Apache-2.0
"""Verify any folder of images: ``python tools/dataset_converters/image_folder.py data/yard/train``.

With --labels also its label PNGs, in train ids of --classes or in the raw ids of --label-map; then class statistics are
written too.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

from udatools.datasets import ImageFolderDomain  # noqa: E402
from udatools.datasets.preparation.cli import default_source, make_parser, run  # noqa: E402


def make_source(args, split, out):
    """The images, with labels if the options name them."""
    args.images_only = args.images_only or args.labels is None
    labels = {} if args.images_only else {'label_root': args.labels}
    return default_source(args, split, out, kind='ImageFolderDomain', **labels)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    parser = make_parser(f'{__doc__}{ImageFolderDomain.LAYOUT}')
    parser.add_argument('--labels', type=Path, metavar='DIR', help='folder of label PNGs under the names of the images')
    return run(parser, make_source, argv)


if __name__ == '__main__':
    sys.exit(main())
