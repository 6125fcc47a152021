# SPDX-License-Identifier: Apache-2.0
"""Verify CARLA frames and write their class statistics: ``python tools/dataset_converters/carla.py data/carla``.

The raw tags are read as rendered, nothing is converted.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

from udatools.datasets import CARLADomain  # noqa: E402
from udatools.datasets.preparation.cli import make_parser, run  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    return run(make_parser(f'{__doc__}{CARLADomain.LAYOUT}', classes='camvid11'), 'CARLADomain', argv)


if __name__ == '__main__':
    sys.exit(main())
