# SPDX-License-Identifier: Apache-2.0
"""Verify Cityscapes and write its class statistics: ``python tools/dataset_converters/cityscapes.py data/cityscapes``.

The labels are read as released, nothing is converted. --images-only for a target whose labels are not there.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

from udatools.datasets import CityscapesDomain  # noqa: E402
from udatools.datasets.preparation.cli import make_parser, run  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    return run(make_parser(f'{__doc__}{CityscapesDomain.LAYOUT}'), 'CityscapesDomain', argv)


if __name__ == '__main__':
    sys.exit(main())
