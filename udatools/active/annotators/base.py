# SPDX-License-Identifier: Apache-2.0
"""Interface of annotators: a request in, answers out, the same for an oracle and for people."""
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from ..request import Answer, Request


class Annotator(ABC):
    """Base class of annotators.

    Attributes:
        name (str): who answers, as recorded in the ledger.
    """

    name: str

    @abstractmethod
    def answer(self, request: Request, keys: Sequence[str]) -> Iterator[Answer]:
        """Answer a request.

        Args:
            request (Request): the complete package.
            keys (Sequence[str]): images that are still to be answered, each with at least one asked pixel.

        Yields:
            Answer: one an image, in the order of ``keys``; images without an answer are left out.
        """
