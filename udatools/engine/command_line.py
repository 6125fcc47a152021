# SPDX-License-Identifier: Apache-2.0
"""What every command-line tool has: common options, one way to run, and errors as one readable paragraph."""
import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from mmengine.config import DictAction
from mmengine.dist import is_main_process

from udatools.active.annotators import AnswersPending
from udatools.active.annotators.human import describe_waiting, resume_command
from udatools.active.ledger import LedgerError
from udatools.compat import CompatError
from udatools.engine.runner.checkpoints import CheckpointError
from udatools.engine.runner.distributed import leave_distributed
from udatools.engine.runner.journal import JournalError, WorkDirInUseError
from udatools.models.backbones.weights import WeightsUnavailableError
from udatools.utils.download import DownloadError

# Errors whose message is written for the user; others are where udatools itself raises them (see `_is_explained`).
EXPLAINED = (CompatError, CheckpointError, JournalError, WorkDirInUseError, WeightsUnavailableError, LedgerError, DownloadError,
             OSError)
_PACKAGE = Path(__file__).resolve().parents[1]
_WORKER_FRAME = re.compile(r'  File "(.+)", line \d+, in .+\n\s+(.*)')


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """``--cfg-options``, as ``options`` of :func:`udatools.engine.cli.build_config`."""
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE')


def parse_with_launcher(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line of a tool that several processes may share; tells mmengine which of its machine's ranks this is."""
    parser.add_argument('--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def run_tool(run: Callable[[], int | None], *, stopped: str = 'stopped') -> int:
    """Runs the work of a tool and leaves the process group, whatever happens.

    Args:
        run (Callable[[], int | None]): returns the exit status; None is 0.
        stopped (str): what Ctrl-C says, such as how to go on.

    Returns:
        int: the exit status; 1 after an error, which is explained on stderr, 130 after Ctrl-C.
    """
    try:
        status = run() or 0
        leave_distributed()
    except KeyboardInterrupt:
        print(f'\n{stopped}', file=sys.stderr)
        leave_distributed(failed=True)
        return 130
    except Exception as error:
        status = explain_error(error)
        leave_distributed(failed=True)
    return status


def explain_error(error: Exception) -> int:
    """Prints an error to stderr, with a traceback unless its message was written for the user; returns 1."""
    if not _is_explained(error):
        traceback.print_exception(error)
    print(f'error: {message_of(error)}', file=sys.stderr)
    return 1


def explain_waiting(pending: AnswersPending, argv: Sequence[str], launcher: str = 'none') -> int:
    """Prints on rank 0 what a run waits for and how to go on; returns 0, since nothing went wrong.

    Args:
        pending (AnswersPending): what is open.
        argv (Sequence[str]): the command line, ``sys.argv``.
        launcher (str): of mmengine; the command of several ranks is the launcher's, not this process's.
    """
    if is_main_process():
        print(describe_waiting(pending, resume_command(argv) if launcher == 'none' else ()), flush=True)
    return 0


def _is_explained(error: BaseException) -> bool:
    """Whether a ``raise`` statement of this package made the error; what a library raises keeps its traceback."""
    if isinstance(error, EXPLAINED):
        return True
    if 'Original Traceback' in str(error):  # of a loader worker, as text
        frames = _WORKER_FRAME.findall(str(error))
    else:
        frames = [(frame.filename, frame.line or '') for frame in traceback.extract_tb(error.__traceback__)]
    if not frames:
        return False
    file, line = frames[-1]
    return line.startswith('raise ') and Path(file).resolve().is_relative_to(_PACKAGE)


def message_of(error: BaseException) -> str:
    """The text of an error: without the quotes of a KeyError, without the traceback of a loader worker."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if 'Original Traceback' in text:
        text = text.rpartition(f'{type(error).__name__}: ')[2].strip()
    return text
