# SPDX-License-Identifier: Apache-2.0
"""Evaluation protocols: which classes a number is about, as data (``protocols.json``).

A protocol lists the reported classes and, for each, the names of the model classes that are merged into it. Published
numbers of one benchmark are on different protocols; a result without the name of its protocol cannot be compared.
"""
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from udatools.datasets.taxonomies import ClassSpec, get_class_set

_FILE = Path(__file__).with_name('protocols.json')


@dataclass(frozen=True)
class Protocol:
    """A named list of reported classes.

    Attributes:
        name (str): Name, as in ``protocol='synthia13'``.
        description (str): One sentence for people.
        members (dict[str, tuple[str, ...]]): Reported class -> model classes merged into it, in reporting order.
    """
    name: str
    description: str
    members: dict[str, tuple[str, ...]]

    @property
    def classes(self) -> tuple[str, ...]:
        """tuple[str, ...]: Names of the reported classes."""
        return tuple(self.members)

    def assignment(self, model_classes: Sequence[str]) -> list[int]:
        """Maps each class of a model to the reported class that it counts as.

        Args:
            model_classes (Sequence[str]): Names in the order of the model's channels.

        Returns:
            list[int]: For each model class 0..P-1, or P if the protocol does not report it.

        Raises:
            ValueError: If the model has none of the members of a reported class.
        """
        lacking = [name for name, members in self.members.items() if not set(members) & set(model_classes)]
        if lacking:
            fitting = [name for name in list_protocols() if get_protocol(name).fits(model_classes)]
            raise ValueError(f'protocol {self.name!r} reports classes that a model of {len(model_classes)} classes '
                             f'lacks: {", ".join(lacking)}; choose one of: {", ".join(fitting) or "(none fits)"}')
        lookup = {member: i for i, members in enumerate(self.members.values()) for member in members}
        return [lookup.get(name, len(self.members)) for name in model_classes]

    def fits(self, model_classes: Sequence[str]) -> bool:
        """Whether a model with these classes can be reported under this protocol."""
        return all(set(members) & set(model_classes) for members in self.members.values())


@cache
def _load() -> dict[str, Any]:
    return json.loads(_FILE.read_text(encoding='utf-8'))


def list_protocols() -> list[str]:
    """Returns the names of all protocols."""
    return list(_load())


def get_protocol(name: ClassSpec) -> Protocol:
    """Looks a protocol up.

    Args:
        name (str | Mapping): One of :func:`list_protocols`, or a class set of one's own as
            :func:`~udatools.datasets.taxonomies.get_class_set` takes it: then each of its classes is reported by itself.

    Raises:
        KeyError: If there is no such protocol; the message lists them.
    """
    entries = _load()
    if not isinstance(name, str) or name.endswith('.json'):
        own = get_class_set(name)
        return Protocol(own.name, f'The {len(own)} classes of {own.name}.', {one: (one, ) for one in own.classes})
    if name not in entries:
        raise KeyError(f'got the protocol {name!r}; choose one of {", ".join(entries)}')
    members = {reported: tuple(names) for reported, names in entries[name]['classes'].items()}
    return Protocol(name, entries[name]['description'], members)
