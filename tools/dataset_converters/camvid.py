# SPDX-License-Identifier: Apache-2.0
"""Verify CamVid and write its class statistics; convert it from the 32 colours it was published in.

``python tools/dataset_converters/camvid.py data/camvid`` takes the SegNet layout as it is. On the published release
it converts to that layout, and --reading must say how 32 classes become 11: ``exact`` keeps the eleven as drawn, ``merged``
groups the others with them, as the SegNet release does. Then use ROOT/udatools/READING as data_root.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

from udatools.datasets import CamVidDomain  # noqa: E402
from udatools.datasets.preparation import CamVid32  # noqa: E402
from udatools.datasets.preparation.camvid32 import IMAGES, LAYOUT  # noqa: E402
from udatools.datasets.preparation.cli import default_source, make_parser, parse_size, run  # noqa: E402


def make_source(args, split, out):
    """The published release where it is found, else the SegNet layout."""
    if not (args.root / IMAGES).is_dir():
        if args.reading or args.size:
            raise ValueError(f'--reading and --size convert the published release, but {args.root} has no folder {IMAGES}; '
                             'leave them out for the SegNet layout')
        return default_source(args, split, out, kind='CamVidDomain')
    if args.reading is None:
        raise ValueError(f'{args.root} holds the published release with 32 classes; say --reading exact or --reading merged')
    if args.classes != 'camvid11' or args.label_map or args.images_only:
        raise ValueError('the conversion is to camvid11; --classes, --label-map and --images-only are for its result')
    return CamVid32(args.root, split=split, reading=args.reading, out=args.out or out / args.reading, size=args.size)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    parser = make_parser(f'{__doc__}\nSegNet layout:{CamVidDomain.LAYOUT}\nPublished release:{LAYOUT}', classes='camvid11')
    parser.add_argument('--reading', choices=('exact', 'merged'), help='how 32 classes become 11; needed to convert')
    parser.add_argument('--size', type=parse_size, metavar='WIDTHxHEIGHT',
                        help='resize while converting; the SegNet release is 480x360 (default: as published, 960x720)')
    return run(parser, make_source, argv)


if __name__ == '__main__':
    sys.exit(main())
