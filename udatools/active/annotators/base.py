# SPDX-License-Identifier: Apache-2.0
"""Interface of annotators: a request in, answers out, the same for an oracle and for people."""
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from ..request import Answer, Request


class AnswersPending(RuntimeError):
    """A round waits for people: its request is on disk, and not enough of it is answered. Nothing went wrong.

    Args:
        request_dir (str | Path): folder of the request package.
        unanswered (int): asked units (points, regions) without an answer.
        asked (int): units asked.
        round (int): the round that waits, from 1.
    """

    def __init__(self, request_dir: str | Path, unanswered: int, asked: int, round: int) -> None:
        # All four as `args`, so that the error survives the way to other processes.
        super().__init__(str(request_dir), unanswered, asked, round)
        self.request_dir = Path(request_dir)
        self.unanswered, self.asked, self.round = unanswered, asked, round

    def __str__(self) -> str:
        return (f'round {self.round} waits for answers: {self.unanswered} of {self.asked} asked units in '
                f'{self.request_dir} have none')


class Annotator(ABC):
    """Base class of annotators.

    Attributes:
        name (str): who answers, as recorded in the ledger.
        waits (bool): whether a round may have to wait for the answers (people), or they come at once (an oracle).
        min_answered (float): share of the asked units, in [0, 1], that lets a round go on; only where :attr:`waits`.
    """

    name: str
    waits: bool = False
    min_answered: float = 1.0

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Everybody who answers under this annotator; an image is done when each of them has answered it."""
        return (self.name, )

    @abstractmethod
    def answer(self, request: Request, keys: Sequence[str]) -> Iterator[Answer]:
        """Answer a request.

        Args:
            request (Request): the complete package.
            keys (Sequence[str]): images that are still to be answered, each with at least one asked pixel.

        Yields:
            Answer: one an image (and person of :attr:`names`), in the order of ``keys``; images without an answer are
            left out. What is stored already may come again: it changes nothing.
        """
