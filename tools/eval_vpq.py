# SPDX-License-Identifier: Apache-2.0
"""Score video predictions of any tool by VPQ or VPQ^s: ``python tools/eval_vpq.py GT PRED``.

    python tools/eval_vpq.py data/cityscapes_vps/panoptic_gt_val_city_vps.json results/pred.json
    python tools/eval_vpq.py data/cityscapes_vps/panoptic_gt_val_city_vps.json results/labels --semantic \\
        --pred-classes viper15 --protocol viper15

The first scores panoptic predictions (JSON and PNGs as Cityscapes-VPS has them), the second semantic ones: a folder of PNGs
that hold train ids of --pred-classes, 255 = void, named by clip and frame. The ground truth of VPQ^s may be such a folder too.
Frames that the ground truth does not label are not read. docs/video.md says what is counted.
"""
import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('gt', type=Path, help='panoptic JSON, its folder, or with --semantic a folder of semantic PNGs')
    parser.add_argument('pred', type=Path, help='the same of the predictions')
    parser.add_argument('--semantic', action='store_true', help='VPQ^s: every class is one segment')
    parser.add_argument('--protocol', help='reported classes, such as viper15 (default: all categories, or --classes)')
    parser.add_argument('--classes', default='cityscapes19', help='class set of semantic PNGs (default: %(default)s)')
    parser.add_argument('--pred-classes', metavar='CLASSES', help='that of the predictions (default: what the '
                        'predictions.json of tools/infer.py says, else --classes)')
    parser.add_argument('--gt-png', type=Path, metavar='DIR', help='PNGs of the ground truth, where they are not found')
    parser.add_argument('--pred-png', type=Path, metavar='DIR', help='PNGs of the predictions, where they are not found')
    parser.add_argument('--clip-pattern', metavar='REGEX',
                        help='of file names without suffix, with the groups (?P<clip>...) and (?P<frame>...)')
    parser.add_argument('--windows', type=int, nargs='+', default=[1, 2, 3, 4], metavar='N',
                        help='lengths in labelled frames (default: 1 2 3 4)')
    parser.add_argument('--nproc', type=int, default=min(4, os.cpu_count() or 1), metavar='N',
                        help='processes; changes nothing but the time (default: %(default)s)')
    parser.add_argument('--json', type=Path, metavar='OUT', help='also write the numbers to this file')
    args = parser.parse_args(argv)
    if args.nproc < 1:
        parser.error(f'--nproc {args.nproc}: expected at least 1')
    return args


def run(args: argparse.Namespace) -> None:
    """Scores and prints."""
    from udatools.evaluation.vpq import format_vpq_table
    from udatools.evaluation.vpq_files import report, score_files
    from udatools.utils.atomic import write_json_atomic
    result = score_files(args.gt, args.pred, protocol=args.protocol, semantic=args.semantic, classes=args.classes,
                         pred_classes=args.pred_classes, gt_png=args.gt_png, pred_png=args.pred_png,
                         clip_pattern=args.clip_pattern, windows=args.windows, nproc=args.nproc)
    content = report(result)
    if args.json:
        write_json_atomic(args.json, content)
    title = (f'{result.name}, protocol {result.protocol.name}, {result.stats.clips} clips, {result.stats.frames} labelled '
             'frames, percent')
    print(format_vpq_table(result.stats, result.protocol.classes, title, result.name))
    if result.things is not None:
        parts = {kind: content['metrics'][f'VPQ_{kind}'] for kind in ('things', 'stuff')}
        print(', '.join(f'{kind}: {"n/a" if value is None else f"{value:.2f}"}' for kind, value in parts.items()))
    if result.extra:
        print(f'{result.extra} predicted frames are not labelled and were not read')


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 refused with a reason on stderr."""
    args = parse_args(argv)
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args))


if __name__ == '__main__':
    sys.exit(main())
