# SPDX-License-Identifier: Apache-2.0
"""Image tags in the label ledger: what an answer adds, and what all answers to an image say together."""
import json
from typing import Any

import numpy as np

from .image_questions import check_tags
from .ledger_schema import LedgerError
from .request import NOT_ANSWERED, Answer, Request

#: (person, classes) of an image, in the order of storing.
TagEntries = list[tuple[str, frozenset[int]]]


def check_answer(request: Request, answer: Answer) -> None:
    """Raise LedgerError if an answer to a request for tags holds anything else, or tags that are no classes."""
    if (answer.answer != NOT_ANSWERED).any():
        raise LedgerError(f'answer to {answer.key!r} holds labelled pixels, but request {request.request_id[:12]} asks for tags '
                          'of the image; expected an empty map, and tags')
    try:
        check_tags(answer.tags or (), request.num_classes)
    except ValueError as error:
        raise LedgerError(f'answer to {answer.key!r}: {error}') from error


def new_counts(said: frozenset[int] | None, entries: TagEntries, annotator: str) -> dict[str, int] | None:
    """What a person's tags of an image count for; None if they are known.

    Args:
        said (frozenset[int] | None): classes; None if the person left the question open.
        entries (TagEntries): earlier answers to the same question.
        annotator (str): the person.
    """
    people = dict(entries)
    mine = people.pop(annotator, None)
    if said is None or said == mine:
        return None
    return dict(components=int(not entries), overlap=int(bool(people) and mine is None),
                conflicts=len({tag for other in people.values() for tag in other ^ said}),
                corrections=0 if mine is None else len(mine ^ said))


def encode_tags(said: frozenset[int] | None) -> str | None:
    """As the ledger stores them: a JSON list, ascending."""
    return None if said is None else json.dumps(sorted(said))


def tags_of_rows(rows: list[tuple[str, str | None, np.ndarray | None]]) -> TagEntries:
    """Tags by person from rows of the ledger, of requests for tags (a JSON list) or points of classes (a map of an entry).

    A person's points add up; a point that was corrected stands for its last class. Where nobody points to anything the image
    holds no class.
    """
    entries: TagEntries = []
    maps: dict[str, np.ndarray] = {}
    for person, text, points in rows:
        if text is not None:
            entries.append((person, frozenset(json.loads(text))))
        elif points is not None:
            before = maps.get(person)
            maps[person] = points if before is None else np.where(points == NOT_ANSWERED, before, points)
            found = np.flatnonzero(np.bincount(maps[person].ravel(), minlength=256)[:254])
            entries.append((person, frozenset(found.tolist())))
    if not maps:
        return entries
    return [entry for entry in entries if entry[1]] or entries[:1]


def clicks_and_seconds(answer: Answer, entries: TagEntries, earlier: list[Any]) -> tuple[int, float]:
    """What is counted of them now: those of a person who answers again are totals."""
    clicks, seconds = int(answer.clicks), float(answer.seconds)
    if answer.annotator in dict(entries):
        clicks = max(0, clicks - sum(row[0] for row in earlier))
        seconds = max(0.0, seconds - sum(row[1] for row in earlier))
    return clicks, seconds
