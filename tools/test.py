# SPDX-License-Identifier: Apache-2.0
"""Evaluate a checkpoint: ``python tools/test.py WORK_DIR/final/config.py WORK_DIR/final/model.pth``.

Takes an exported plain mmseg config as well as a training config with a stage's checkpoint.
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported


def parse_args() -> argparse.Namespace:
    """Command line."""
    from udatools.engine.command_line import add_config_options, parse_with_launcher
    parser = argparse.ArgumentParser(description='Evaluate a checkpoint on the test set of its config')
    parser.add_argument('config', help='exported final/config.py, or a training config')
    parser.add_argument('checkpoint', nargs='+',
                        help='final/model.pth, a .safetensors file, or stages/*/iter_*.pth; of several the mean of their '
                             'probabilities is tested')
    parser.add_argument('--work-dir', help='where the log and metrics.json go (default: beside the checkpoint, in test/)')
    add_config_options(parser)
    return parse_with_launcher(parser)


def run(args: argparse.Namespace) -> None:
    """Tests."""
    from udatools.engine.cli import evaluate
    evaluate(args.config, args.checkpoint, work_dir=args.work_dir, options=args.cfg_options, launcher=args.launcher)


def main() -> int:
    """Returns the exit status: 0 done, 1 refused or failed with a reason on stderr, 130 stopped."""
    args = parse_args()
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args))


if __name__ == '__main__':
    from udatools.engine.runner.distributed import exit_process
    exit_process(main())
