# SPDX-License-Identifier: Apache-2.0
"""Every entry of a run's label ledger as CSV: ``python tools/active/ledger.py WORK_DIR --csv OUT.csv``."""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a clone works without being installed


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    import udatools  # noqa: F401 - checks the environment
    from udatools.active.ledger import LabelLedger, LedgerError
    from udatools.active.package_files import LEDGER
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', type=Path, help='work directory of a run')
    parser.add_argument('--csv', type=Path, required=True, metavar='OUT', help='file to write')
    args = parser.parse_args(argv)
    path = args.work_dir / LEDGER
    try:
        if not path.is_file():
            raise FileNotFoundError(f'{path} does not exist: no round of labelling was asked there')
        with LabelLedger(path, read_only=True) as ledger:
            count = ledger.export_csv(args.csv)
    except (OSError, LedgerError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(f'{count} entries in {args.csv}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
