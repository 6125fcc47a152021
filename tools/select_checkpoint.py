# SPDX-License-Identifier: Apache-2.0
"""Score the checkpoints of a finished run: ``python tools/select_checkpoint.py CONFIG WORK_DIR --criterion entropy``.

Prints the table; the run stays as it is. Train with ``--select`` to keep every checkpoint of the last stage and to deliver
the chosen one.
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported


def parse_args() -> argparse.Namespace:
    """Command line."""
    from udatools.engine.command_line import add_config_options, parse_with_launcher
    parser = argparse.ArgumentParser(description='Score the checkpoints that a run has kept of one stage')
    parser.add_argument('config', help='training config of the run, such as WORK_DIR/config.py')
    parser.add_argument('work_dir', help='its work directory')
    parser.add_argument('--criterion', required=True, help='entropy, consistency or density; target_miou looks at target labels')
    parser.add_argument('--stage', help='name of the stage (default: the last evaluated one)')
    add_config_options(parser)
    return parse_with_launcher(parser)


def run(args: argparse.Namespace) -> None:
    """Scores and prints."""
    from mmengine.dist import is_main_process

    from udatools.engine.cli import build_config, score_checkpoints
    from udatools.evaluation.model_selection import format_selection
    cfg = build_config(args.config, work_dir=args.work_dir, select=args.criterion, options=args.cfg_options,
                       launcher=args.launcher)
    selection = score_checkpoints(cfg, stage_name=args.stage)
    if is_main_process():
        print(format_selection(selection))


def main() -> int:
    """Returns the exit status: 0 done, 1 refused or failed with a reason on stderr, 130 stopped."""
    args = parse_args()
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args))


if __name__ == '__main__':
    from udatools.engine.runner.distributed import exit_process
    exit_process(main())
