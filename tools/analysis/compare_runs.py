# SPDX-License-Identifier: Apache-2.0
"""Runs side by side on one page: ``python tools/analysis/compare_runs.py WORK_DIR [WORK_DIR ...] --out page.html``.

Learning curves, losses, IoU by class, confusion matrix and worst images of the validation set, pseudo-labels by class and round.
One run is fine, and so is one that still trains. Runs of one config that differ in their seed are one method.

The final model of every run goes over the validation set once; the counts stay in WORK_DIR/analysis/validation.npz, so that the
next page needs no inference, except for the few images it shows. --no-models leaves that out.

--truth opens ground truth of the target's training images to say how right pseudo-labels were. It is for understanding only: a
run that chooses anything by it is no longer unsupervised.
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a clone works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Command line."""
    from udatools.engine.command_line import add_config_options
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dirs', type=Path, nargs='+', metavar='WORK_DIR', help='of tools/train.py, finished or running')
    parser.add_argument('--out', type=Path, required=True, metavar='PAGE.html', help='the page')
    parser.add_argument('--no-models', action='store_true', help='without confusion matrices and worst images')
    parser.add_argument('--worst', type=int, default=4, metavar='N', help='worst images of each method (default: 4)')
    parser.add_argument('--truth', action='store_true',
                        help="score pseudo-labels with ground truth of the target's training images")
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU where there is one)')
    add_config_options(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Writes the page and prints the methods; returns the exit status."""
    from udatools.visualization.analysis import load_methods, write_analysis
    from udatools.visualization.tables import text_table
    path, problems = write_analysis(args.work_dirs, args.out, predict=not args.no_models, truth=args.truth, worst=args.worst,
                                    device=args.device, options=args.cfg_options)
    for label, reason in problems.items():
        print(f'warning: {label}: {reason}', file=sys.stderr)
    rows = [[method.label, str(len(method.runs)), ' / '.join(f'{score:.2f}' for score in method.final_scores()) or '-']
            for method in load_methods(args.work_dirs)]
    print(text_table(['method', 'seeds', 'mIoU'], rows))
    print(f'page: {path}')
    return 0


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 refused or failed with a reason on stderr, 130 stopped."""
    args = parse_args(argv)
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args))


if __name__ == '__main__':
    sys.exit(main())
