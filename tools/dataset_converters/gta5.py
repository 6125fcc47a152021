# SPDX-License-Identifier: Apache-2.0
"""Verify GTA5 and write its class statistics: ``python tools/dataset_converters/gta5.py data/gta5``.

The labels are read as released, nothing is converted. A few pairs of the release differ in size: they are reported.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

from udatools.datasets import GTA5Domain  # noqa: E402
from udatools.datasets.preparation.cli import make_parser, run  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    return run(make_parser(f'{__doc__}{GTA5Domain.LAYOUT}'), 'GTA5Domain', argv)


if __name__ == '__main__':
    sys.exit(main())
