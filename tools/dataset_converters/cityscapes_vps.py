# SPDX-License-Identifier: Apache-2.0
"""Verify Cityscapes-VPS, write class statistics: ``python tools/dataset_converters/cityscapes_vps.py data/cityscapes_vps``.

The release has the labelled frames only. ``--sequences data/cityscapes/leftImg8bit_sequence/val`` links all 30 frames of each
clip into SPLIT/img_all first. Frames without a label are read too, and are no bad pairs.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

from udatools.datasets import CityscapesVPSDomain  # noqa: E402
from udatools.datasets.cityscapes_vps import LABEL_FOLDERS  # noqa: E402
from udatools.datasets.preparation.cli import default_source, make_parser, run  # noqa: E402
from udatools.datasets.preparation.vps_sequences import link_sequences  # noqa: E402


def make_source(args, split, out):
    """The pairs, after linking the frames in between if the options say where they are."""
    if args.sequences is not None:
        if args.check:
            raise ValueError('--sequences makes links, --check writes nothing; run without --check first')
        made = link_sequences(args.root, split, args.sequences)
        print(f'{args.root} {split}: {made} frames linked into {args.root / split / "img_all"}')
    return default_source(args, split, out, kind='CityscapesVPSDomain', label_source=args.label_source, image_dir=args.image_dir)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    parser = make_parser(f'{__doc__}{CityscapesVPSDomain.LAYOUT}', classes='viper15')
    parser.add_argument('--label-source', choices=sorted(LABEL_FOLDERS), help='kind of labels (default: the first that exists)')
    parser.add_argument('--image-dir', metavar='NAME', help='img or img_all (default: img_all where it exists)')
    parser.add_argument('--sequences', type=Path, metavar='DIR', help='leftImg8bit_sequence/val of Cityscapes, to link from')
    return run(parser, make_source, argv)


if __name__ == '__main__':
    sys.exit(main())
