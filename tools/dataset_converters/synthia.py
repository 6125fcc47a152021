# SPDX-License-Identifier: Apache-2.0
"""Verify SYNTHIA-RAND-CITYSCAPES and write its class statistics: ``python tools/dataset_converters/synthia.py data/synthia``.

The labels are read as released, nothing is converted. --classes synthia16 or synthia13 for the protocols of the papers.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

from udatools.datasets import SYNTHIADomain  # noqa: E402
from udatools.datasets.preparation.cli import make_parser, run  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    return run(make_parser(f'{__doc__}{SYNTHIADomain.LAYOUT}', classes='synthia16'), 'SYNTHIADomain', argv)


if __name__ == '__main__':
    sys.exit(main())
