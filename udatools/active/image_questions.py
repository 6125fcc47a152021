# SPDX-License-Identifier: Apache-2.0
"""Questions about whole images: which classes are in one, or one point of each (WDA, Paul et al., ECCV 2020).

Other requests name pixels and ask for classes. These name classes, all of the request, and ask the annotator where: the choice
of a point is the annotator's, an oracle's as much as a person's. ``'tags'`` is answered by a set of classes, which the ledger
keeps beside the (empty) map of the image; ``'class_points'`` by a map with one answered pixel a class, and its classes are tags
as well. The unit of both is the image; what is asked of one is counted in classes, what is answered in points and clicks.
"""
from collections.abc import Iterable, Sequence

from .ledger_merge import check_policy

TAGS, CLASS_POINTS = 'tags', 'class_points'
IMAGE_KINDS = (TAGS, CLASS_POINTS)


def check_tags(tags: Iterable[int], num_classes: int) -> tuple[int, ...]:
    """Class ids in ascending order, each once.

    Raises:
        ValueError: if one of them is no class.
    """
    found = tuple(sorted({int(tag) for tag in tags}))
    if found and not 0 <= found[0] <= found[-1] < num_classes:
        raise ValueError(f'tags are {list(found)}; expected class ids 0..{num_classes - 1}')
    return found


def merge_tags(entries: Sequence[tuple[str, frozenset[int]]], policy: str = 'first') -> frozenset[int] | None:
    """One set of classes from what several people said of an image.

    Args:
        entries (Sequence[tuple[str, frozenset[int]]]): (person, classes), in the order of storing; a person's latest holds.
        policy (str): ``'first'``: the person who answered first; ``'last'``: who answered last; ``'majority'``: the classes that
            more than half of the people named.

    Returns:
        frozenset[int] | None: None without entries.
    """
    check_policy(policy)
    if not entries:
        return None
    said = dict(entries)  # in the order of first entries, with the latest of each
    if policy == 'last':
        return entries[-1][1]
    if policy == 'first':
        return next(iter(said.values()))
    named = [tag for tags in said.values() for tag in tags]
    return frozenset(tag for tag in named if 2 * named.count(tag) > len(said))
