# SPDX-License-Identifier: Apache-2.0
"""One label map from what several people said at several times, and where they disagree.

An entry of the ledger holds the pixels that a person answered or corrected at one time, 255 elsewhere.
"""
from collections.abc import Iterable

import numpy as np

from .request import NOT_ANSWERED, VOID

#: What holds where people differ. ``'first'``: who answered the pixel first; ``'last'``: the latest word of anybody;
#: ``'majority'``: every person's latest word is a vote, a tie is void.
POLICIES = ('first', 'last', 'majority')


def check_policy(policy: str) -> str:
    """``policy`` if it is one of :data:`POLICIES`, else ValueError."""
    if policy not in POLICIES:
        raise ValueError(f'policy is {policy!r}; expected one of {POLICIES}')
    return policy


def overlay(below: np.ndarray | None, above: np.ndarray) -> np.ndarray:
    """``above`` where it answers, else ``below``; uint8, (H, W)."""
    return above.copy() if below is None else np.where(above == NOT_ANSWERED, below, above)


def latest_of_each(entries: Iterable[tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What each person says by now.

    Args:
        entries (Iterable[tuple[str, np.ndarray]]): (person, uint8 (H, W)), in the order of storing.

    Returns:
        dict[str, np.ndarray]: by person, in the order of their first entry; corrections in the place of what they
        correct.
    """
    maps: dict[str, np.ndarray] = {}
    for person, entry in entries:
        maps[person] = overlay(maps.get(person), entry)
    return maps


def merge_entries(entries: Iterable[tuple[str, np.ndarray]], policy: str = 'first') -> np.ndarray | None:
    """One label map of all entries.

    Args:
        entries (Iterable[tuple[str, np.ndarray]]): (person, uint8 (H, W)), in the order of storing.
        policy (str): one of :data:`POLICIES`.

    Returns:
        np.ndarray | None: uint8, (H, W), train id, 254 = void, 255 = not answered; None without entries.
    """
    check_policy(policy)
    entries = list(entries)
    if not entries:
        return None
    if policy == 'last':
        merged = entries[0][1]
        for _, entry in entries[1:]:
            merged = overlay(merged, entry)
        return merged.copy()
    maps = latest_of_each(entries)
    if len(maps) == 1:
        return next(iter(maps.values()))
    stack = np.stack(list(maps.values()))
    return _majority(stack) if policy == 'majority' else _by_first(stack, list(maps), entries)


def _by_first(stack: np.ndarray, people: list[str], entries: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """Owner of a pixel is who answered it first; the owner's latest word holds."""
    owner: np.ndarray = np.full(stack.shape[1:], -1, np.int32)
    for person, entry in entries:
        owner[(owner < 0) & (entry != NOT_ANSWERED)] = people.index(person)
    return np.take_along_axis(stack, np.maximum(owner, 0)[None], axis=0)[0]


def _majority(stack: np.ndarray) -> np.ndarray:
    answered = stack != NOT_ANSWERED
    votes = np.stack([((stack == label) & answered).sum(axis=0) for label in stack]) * answered
    most = votes.max(axis=0)
    winner = np.take_along_axis(stack, votes.argmax(axis=0)[None], axis=0)[0]
    tied = ((votes == most) & (stack != winner) & answered).any(axis=0)
    return np.where(tied, np.uint8(VOID), winner).astype(np.uint8)


def count_disagreement(one: np.ndarray, other: np.ndarray) -> dict[str, np.ndarray]:
    """Where two people answered the same pixels.

    Args:
        one (np.ndarray): uint8, (H, W), answer map.
        other (np.ndarray): the same of another person.

    Returns:
        dict[str, np.ndarray]: int64, (256, ): by class (254 = void) the pixels that ``either`` of them gave it among
        those that both answered, and those of them where they ``differ``; ``both`` and ``differing``, (1, ): totals.
    """
    shared = (one != NOT_ANSWERED) & (other != NOT_ANSWERED)
    a, b = one[shared], other[shared]
    different = a != b
    differ = np.bincount(a[different], minlength=256) + np.bincount(b[different], minlength=256)
    either = np.bincount(a[~different], minlength=256) + differ
    return dict(either=either, differ=differ, both=np.array([a.size]), differing=np.array([int(different.sum())]))
