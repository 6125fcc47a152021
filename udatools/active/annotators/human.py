# SPDX-License-Identifier: Apache-2.0
"""People as annotators: the run writes its question, says how to answer it, and ends; days later it goes on.

Nothing waits in a process. Answers come into the ledger by ``tools/active/import_answers.py``, whatever they were given
with, and ``--resume`` looks whether there are enough of them.
"""
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from udatools.registry import ANNOTATORS

from ..image_questions import IMAGE_KINDS
from ..progress import unit_of
from ..request import Answer, Request
from .base import Annotator, AnswersPending


@ANNOTATORS.register_module()
class HumanAnnotator(Annotator):
    """Waits for people.

    In a config that inherits from one with an oracle, write ``annotator=dict(_delete_=True, type='HumanAnnotator')``.

    Args:
        min_answered (float): share of the asked points or regions, in [0, 1], that lets the round go on by itself; with
            less it goes on once somebody closes the round (``import_answers.py WORK_DIR --close``).
        name (str): who closes a round that goes on by itself, in the ledger; answers carry the names of people.
        dataset (Mapping | None): not used. What an oracle of the base config would read stays in the config when only
            ``type`` is overridden; nothing of it is opened.
        costs (Mapping | None): not used, likewise: people's seconds are measured.

    Raises:
        ValueError: if ``min_answered`` is out of range.
    """

    waits = True

    def __init__(self, min_answered: float = 1.0, *, name: str = 'run', dataset: Mapping[str, Any] | None = None,
                 costs: Mapping[str, Any] | None = None) -> None:
        if not 0.0 <= min_answered <= 1.0:
            raise ValueError(f'min_answered is {min_answered}; expected a share in [0, 1]')
        self.min_answered, self.name = float(min_answered), name

    def answer(self, request: Request, keys: Sequence[str]) -> Iterator[Answer]:
        """Nothing: answers are imported."""
        return iter(())


def describe_waiting(pending: AnswersPending, resume: Sequence[str] = ()) -> str:
    """What a run waits for, how to answer, and how to go on; several lines.

    Args:
        pending (AnswersPending): what is open.
        resume (Sequence[str]): the command that goes on, word by word; empty: the one that started the run.
    """
    request_dir = _short(pending.request_dir)
    work_dir = _short(pending.request_dir.parent.parent)
    request = Request.load(pending.request_dir)
    kind, images = ('segments', 0) if request is None else (request.kind, len(request.asked_keys()))
    command = shlex.join(resume) if resume else 'the command that started the run, with --resume'
    tables = kind in IMAGE_KINDS  # the page and drawing tools ask about pixels
    return '\n'.join([
        f'Round {pending.round} waits for people: {pending.unanswered} of {pending.asked} {unit_of(kind)} in {images} images '
        'have no answer yet.',
        f'  request            {request_dir}',
        *([] if tables else [f'  answer in browser  python tools/annotate.py {request_dir}']),
        f'  {"fill a table in " if tables else "or in your tool "}   python tools/active/export.py {request_dir} --format '
        f'{"tags" if tables else "cvat"} --out FOLDER',
        f'  bring answers in   python tools/active/import_answers.py {request_dir} [FILES...]  (--close: that is all)',
        f'  see what is there  python tools/active/status.py {work_dir}',
        f'  then go on         {command}',
    ])


def resume_command(argv: Sequence[str], program: str = 'python') -> list[str]:
    """The same command with ``--resume``, once."""
    words = [program, *argv]
    return words if any(word == '--resume' or word.startswith('--resume=') for word in words) else [*words, '--resume']


def _short(path: Path) -> str:
    """Relative to the working directory where it is below it, quoted for a shell."""
    relative = os.path.relpath(path)
    return shlex.quote(str(path) if relative.startswith('..') else relative)
