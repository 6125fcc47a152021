# SPDX-License-Identifier: Apache-2.0
"""Verify VIPER and write its class statistics: ``python tools/dataset_converters/viper.py data/viper --nproc 8``.

Class-id PNGs are read as they are, nothing is converted; the colour version is refused. Frames without a label are no
problem with --sparse-labels.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

from udatools.datasets import VIPERDomain  # noqa: E402
from udatools.datasets.preparation.cli import default_source, make_parser, run  # noqa: E402


def make_source(args, split, out):
    """The pairs, as the options say."""
    return default_source(args, split, out, kind='VIPERDomain', conditions=args.conditions, ego_vehicle=args.ego_vehicle,
                          sparse_labels=args.sparse_labels)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    parser = make_parser(f'{__doc__}{VIPERDomain.LAYOUT}', classes='viper15')
    parser.add_argument('--conditions', metavar='NAME', help='only the sequences that ROOT/SPLIT_NAME.txt names, such as day')
    parser.add_argument('--ego-vehicle', choices=('keep', 'ignore'), default='keep',
                        help='ignore: the own bonnet, labelled car, counts as nothing (default: keep)')
    parser.add_argument('--sparse-labels', action='store_true', help='frames without a label file are no bad pairs')
    return run(parser, make_source, argv)


if __name__ == '__main__':
    sys.exit(main())
