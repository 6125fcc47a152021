# SPDX-License-Identifier: Apache-2.0
"""Where the labelling of a run stands, spent and left in every unit: ``python tools/active/status.py WORK_DIR [--json]``."""
import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a clone works without being installed


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    import udatools  # noqa: F401 - checks the environment
    from udatools.active.ledger import LedgerError
    from udatools.active.status import campaign_status, format_status
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', help='work directory of a run')
    parser.add_argument('--json', action='store_true', help='for programs')
    args = parser.parse_args(argv)
    try:
        status = campaign_status(args.work_dir)
    except (OSError, ValueError, LedgerError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(json.dumps(status, indent=2, ensure_ascii=False) if args.json else format_status(status))
    return 0


if __name__ == '__main__':
    sys.exit(main())
