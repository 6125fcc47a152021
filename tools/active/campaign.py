# SPDX-License-Identifier: Apache-2.0
"""Explain finished labelling campaigns on one page: ``python tools/active/campaign.py WORK_DIR [WORK_DIR ...]``."""

import argparse
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a clone works without being installed


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    parser = argparse.ArgumentParser(
        description='Write a page about one or several labelling campaigns: rounds, cost curves, classes that were asked, '
        'gains, worst images, and what the next clicks would ask. The runs are read and never changed.'
    )
    parser.add_argument('work_dirs', type=Path, nargs='+', metavar='WORK_DIR',
                        help='runs to compare; one without a ledger (source only, supervised) is a baseline')
    parser.add_argument('--next', type=int, default=1000, metavar='N', dest='clicks',
                        help='plan N further clicks with the final models of each run (default 1000); 0 leaves it out')
    parser.add_argument('--predict', action='store_true',
                        help='judge all images by the final model, also with --next 0 (needs its checkpoint and the images)')
    parser.add_argument('--out', type=Path, metavar='DIR', help='folder of the page (default: campaign/ in the first run)')
    parser.add_argument('--image-root', type=Path, help="folder of the target images, if not where the runs' configs say")
    args = parser.parse_args(argv)
    from udatools.active.ledger import LedgerError
    from udatools.visualization.campaign import load_campaigns, write_campaign
    from udatools.visualization.tables import human_count, human_seconds, text_table

    try:
        path, problems = write_campaign(args.work_dirs, args.out, image_root=args.image_root, clicks=args.clicks,
                                        predict=args.predict)
        campaigns, _ = load_campaigns(args.work_dirs, args.image_root)
    except (FileNotFoundError, ValueError, LedgerError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for label, reason in problems.items():
        print(f'warning: {label}: no next questions, and the worst images are those of the requests: {reason}', file=sys.stderr)
    rows = []
    for campaign in campaigns:
        miou = next((entry.miou for entry in reversed(campaign.rounds) if math.isfinite(entry.miou)), math.nan)
        rows.append([campaign.label, str(len(campaign.rounds)), human_seconds(campaign.total('seconds')),
                     human_count(campaign.total('clicks')), human_count(campaign.total('pixels')),
                     f'{campaign.evenness(campaign.classes):.3f}', f'{miou:.2f}'])
    print(text_table(['run', 'rounds', 'labelling time', 'clicks', 'pixels', 'evenness', 'mIoU'], rows))
    print(f'page: {path}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
