# SPDX-License-Identifier: Apache-2.0
"""Train any config: ``python tools/train.py configs/labor/spl_minidrive.py``."""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported


def parse_args() -> argparse.Namespace:
    """Command line."""
    from udatools.engine.command_line import add_config_options, parse_with_launcher
    parser = argparse.ArgumentParser(description='Train a udatools (or mmseg) config')
    parser.add_argument('config', help='path of a config file')
    parser.add_argument('--work-dir', help='where everything is written (default: work_dirs/<config name>)')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='PATH',
                        help='go on with the run in the work directory, or with the one in PATH')
    parser.add_argument('--amp', nargs='?', const='bfloat16', choices=('bfloat16', 'float16'),
                        help='automatic mixed precision (GPU only); bfloat16 unless float16 is said')
    parser.add_argument('--seed', type=int, help='overrides randomness.seed')
    parser.add_argument('--select', metavar='CRITERION',
                        help='how the checkpoint of the last stage is chosen: last (default), or without target labels entropy, '
                        'consistency, density; target_miou looks at target labels (docs/model_selection.md)')
    parser.add_argument('--stage-store', metavar='DIR', help='folder of finished stages that several runs share: a stage that '
                        'another run has trained with the same config, seed and code is taken over')
    parser.add_argument('--dry-run', action='store_true', help='print config, stages, data and parameters, then stop')
    add_config_options(parser)
    return parse_with_launcher(parser)


def run(args: argparse.Namespace) -> int:
    """Trains, or only looks; returns the exit status."""
    from mmengine.dist import is_main_process

    from udatools.active.annotators import AnswersPending
    from udatools.engine.cli import build_config, dry_run
    from udatools.engine.command_line import explain_waiting
    from udatools.engine.runner import StagedRunner
    from udatools.evaluation.model_selection import describe_selection
    from udatools.visualization.report import format_results_table
    cfg = build_config(args.config, work_dir=args.work_dir, resume=args.resume, amp=args.amp, seed=args.seed,
                       select=args.select, options=args.cfg_options, launcher=args.launcher)
    if args.stage_store:
        cfg.stage_store = args.stage_store
    if args.dry_run:
        return dry_run(cfg)
    runner = StagedRunner.from_cfg(cfg)
    try:
        results = runner.train()
    except AnswersPending as pending:
        return explain_waiting(pending, sys.argv, args.launcher)
    if is_main_process():
        print(format_results_table(results))
        for record in results['stages']:
            if 'selection' in record:
                print(describe_selection(record['name'], record['selection']))
        print(f'Report: {runner.work_dir / "report" / "index.html"}\nModel:  {runner.work_dir / "final" / "model.pth"}')
    return 0


def main() -> int:
    """Returns the exit status: 0 done or waiting for people, 1 refused or failed with a reason on stderr, 130 stopped."""
    args = parse_args()
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args), stopped='stopped; --resume goes on from the newest checkpoint')


if __name__ == '__main__':
    from udatools.engine.runner.distributed import exit_process
    exit_process(main())
