# SPDX-License-Identifier: Apache-2.0
"""Score the checkpoints of a finished run: ``python tools/select_checkpoint.py CONFIG WORK_DIR --criterion entropy``.

Prints the table; the run stays as it is. Train with ``--select`` to keep every checkpoint of the last stage and to deliver
the chosen one.
"""
import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported


def parse_args() -> argparse.Namespace:
    """Command line."""
    from mmengine.config import DictAction
    parser = argparse.ArgumentParser(description='Score the checkpoints that a run has kept of one stage')
    parser.add_argument('config', help='training config of the run, such as WORK_DIR/config.py')
    parser.add_argument('work_dir', help='its work directory')
    parser.add_argument('--criterion', required=True, help='entropy, consistency or density; target_miou looks at target labels')
    parser.add_argument('--stage', help='name of the stage (default: the last evaluated one)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE')
    parser.add_argument('--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main() -> int:
    """Returns the exit status: 0 done, 1 refused or failed with a reason on stderr."""
    args = parse_args()
    from udatools.engine.cli import build_config, explain_error, score_checkpoints
    from udatools.engine.runner.distributed import leave_distributed
    from udatools.evaluation.model_selection import format_selection
    try:
        cfg = build_config(args.config, work_dir=args.work_dir, select=args.criterion, options=args.cfg_options,
                           launcher=args.launcher)
        selection = score_checkpoints(cfg, stage_name=args.stage)
        leave_distributed()
    except Exception as error:
        status = explain_error(error)
        leave_distributed(failed=True)
        return status
    if int(os.environ.get('RANK', 0)) == 0:
        print(format_selection(selection))
    return 0


if __name__ == '__main__':
    from udatools.engine.runner.distributed import exit_process
    exit_process(main())
