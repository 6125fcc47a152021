# SPDX-License-Identifier: Apache-2.0
"""Verify SYNTHIA-Seq and write its class statistics: ``python tools/dataset_converters/synthia_seq.py data/synthia_seq``.

The 16-bit label PNGs are read as released, nothing is converted. Classes: synthiaseq12 or synthiaseq11.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

from udatools.datasets import SYNTHIASeqDomain  # noqa: E402
from udatools.datasets.preparation.cli import default_source, make_parser, run  # noqa: E402


def make_source(args, split, out):
    """The pairs of the cameras."""
    return default_source(args, split, out, kind='SYNTHIASeqDomain', cameras=tuple(args.cameras))


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    parser = make_parser(f'{__doc__}{SYNTHIASeqDomain.LAYOUT}', classes='synthiaseq12')
    parser.add_argument('--cameras', nargs='+', default=['Stereo_Left/Omni_F'], metavar='RIG/CAMERA',
                        help='cameras (default: Stereo_Left/Omni_F)')
    return run(parser, make_source, argv)


if __name__ == '__main__':
    sys.exit(main())
