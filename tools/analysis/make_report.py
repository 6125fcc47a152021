# SPDX-License-Identifier: Apache-2.0
"""Write the report of a run again: ``python tools/analysis/make_report.py WORK_DIR``."""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a clone works without being installed


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    parser = argparse.ArgumentParser(description='Write report/index.html and its pictures from the files of a run.')
    parser.add_argument('work_dir', type=Path, help='work directory with a results.json')
    parser.add_argument(
        '--image-root', type=Path, help="folder of the target images, if not where the run's config says"
    )
    parser.add_argument('--panels', type=int, default=8, help='at most this many images (default 8)')
    args = parser.parse_args(argv)
    from udatools.visualization import format_results_table, write_report

    try:
        path = write_report(args.work_dir, args.image_root, args.panels)
    except (FileNotFoundError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(format_results_table(json.loads((args.work_dir / 'results.json').read_text(encoding='utf-8'))))
    print(f'report: {path}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
