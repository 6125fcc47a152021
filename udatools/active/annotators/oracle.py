# SPDX-License-Identifier: Apache-2.0
"""An oracle that answers from ground truth: the only door through which target labels enter.

A label file is opened only when its image has asked pixels, and nothing but those pixels leaves this module. By default
the oracle is one person who is never wrong; it can be several who err as people do (:mod:`.noise`). What somebody says
about an image is a function of (seed, request, image, person): neither the order of the images nor a resume changes it.
"""
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from udatools.registry import ANNOTATORS, DATASETS
from udatools.utils.rng import make_generator

from ..costs import CostModel
from ..image_questions import CLASS_POINTS, IMAGE_KINDS, TAGS
from ..request import NOT_ANSWERED, VOID, Answer, Request
from .base import Annotator
from .noise import HumanError, click, displace

ASSIGNMENTS = ('all', 'split')


@ANNOTATORS.register_module()
class GroundTruthOracle(Annotator):
    """Answers with the label of every asked pixel; where the ground truth is ignore it answers void.

    One click answers a point, a region (its majority, void where void has it), or one class of a segment: a segment
    across a boundary takes one click on each side. Seconds are those of the cost model for what was answered.

    Asked which classes are in an image, it names those of the ground truth, one click each; asked for a point of each, it
    clicks a pixel that chance chooses among those of the class. What is ignore in the ground truth is no class.

    Args:
        dataset (Mapping | object): config of a ``DomainDataset`` with ``labelled=True`` over the same images, or the
            built data set. Its pipeline is not used.
        costs (Mapping | None): arguments of :class:`udatools.active.costs.CostModel`.
        name (str): who answers, in the ledger.
        annotators (int | Sequence[str]): how many people, called ``name_1``, ``name_2``, ..., or their names; 1 is
            ``name`` alone.
        assignment (str): ``'all'``: every person answers everything, and all of it is billed; ``'split'``: every point,
            region or segment goes to one of them, by chance.
        seed (int): of everything that chance decides.
        **error (float | str): fields of :class:`udatools.active.annotators.noise.HumanError`, the same for every
            person: ``label_noise``, ``confusion``, ``boundary_error``, ``skip_rate``, ``unsure_rate``, ``time_spread``.

    Raises:
        ValueError: if the data set is not labelled, for people of one name, or for a value out of range.
        TypeError: for another keyword.
    """

    def __init__(self, dataset: Mapping[str, Any] | Any, *, costs: Mapping[str, Any] | None = None,
                 name: str = 'oracle', annotators: int | Sequence[str] = 1, assignment: str = 'all', seed: int = 0,
                 **error: Any) -> None:
        self.name = name
        self.costs = CostModel(**(costs or {}))
        self.people = _people(name, annotators)
        if assignment not in ASSIGNMENTS:
            raise ValueError(f'assignment is {assignment!r}; expected one of {ASSIGNMENTS}')
        self.assignment, self.seed, self.error = assignment, int(seed), HumanError(**error)
        self._dataset_config = dataset
        self._dataset: Any = None
        if isinstance(dataset, Mapping) and not dataset.get('labelled', True):
            raise ValueError('the oracle was given a data set with labelled=False; it needs the ground truth: '
                             'set labelled=True in annotator.dataset')

    @property
    def names(self) -> tuple[str, ...]:
        """Everybody who answers."""
        return self.people

    def answer(self, request: Request, keys: Sequence[str]) -> Iterator[Answer]:
        """Look up the labels of the asked pixels, image by image; one answer a person, also where it is empty."""
        self._build()
        for key in keys:
            region = request.regions(key)
            truth = self._truth(key, region.shape, request.num_classes)
            if request.kind in IMAGE_KINDS:
                yield from self._answer_image(request, key, region, truth)
                continue
            owner = self._owners(request, key, region)
            for person, name in enumerate(self.people):
                mine = None if owner is None else owner == person
                yield self._answer(request, key, region, truth, name, mine)

    def _answer(self, request: Request, key: str, region: np.ndarray, truth: np.ndarray, name: str,
                mine: np.ndarray | None) -> Answer:
        """What one person says about the asked pixels, or about those that are ``mine`` (bool, one an asked pixel)."""
        tags = (self.seed, request.request_id, key, name)
        kind, seen = request.kind, truth
        if kind == 'segments':
            seen = displace(truth, self.error.boundary_error, make_generator('boundary', *tags))
        asked = np.flatnonzero(region)
        item = _items(region, asked, kind)
        total = int(np.unique(item).size) if kind == 'regions' else asked.size
        if mine is not None:
            asked, item = asked[mine], item[mine]
        label = np.where(seen.ravel()[asked] == 255, VOID, seen.ravel()[asked]).astype(np.uint8)
        present = np.flatnonzero(np.bincount(truth.ravel(), minlength=256)[:request.num_classes])
        clicks = click(item, label, kind, request.num_classes, present, self.error, make_generator('clicks', *tags))
        answer: np.ndarray = np.full(region.shape, NOT_ANSWERED, np.uint8)
        answer.ravel()[asked] = clicks.said
        answered = int((clicks.said != NOT_ANSWERED).sum())
        done = clicks.items if kind == 'regions' else answered
        seconds = self.costs.seconds(kind, total, region.size)
        if done < total:  # a share of the whole, so that the shares of split work add up to it
            seconds *= done / total
        seconds = self._spread(seconds, tags)
        return Answer(key=key, answer=answer, annotator=name, tool=type(self).__name__,
                      points=answered if kind == 'points' else 0, clicks=clicks.clicks, components=clicks.items,
                      seconds=seconds)

    def _answer_image(self, request: Request, key: str, region: np.ndarray, truth: np.ndarray) -> Iterator[Answer]:
        """What everybody, or the one person whose image it is, says about an image as a whole."""
        count, split = len(self.people), self.assignment == 'split'
        owner = int(make_generator('assignment', self.seed, request.request_id, key).integers(0, count))
        seen = truth if request.kind == TAGS else np.where(region > 0, truth, 255)
        present = np.flatnonzero(np.bincount(seen.ravel(), minlength=256)[:request.num_classes])
        for person, name in enumerate(self.people):
            answer: np.ndarray = np.full(truth.shape, NOT_ANSWERED, np.uint8)
            if split and person != owner:
                yield Answer(key=key, answer=answer, annotator=name, tool=type(self).__name__)
                continue
            tags = (self.seed, request.request_id, key, name)
            place = make_generator('place', *tags)
            pixel = np.array([place.choice(np.flatnonzero(seen == label)) for label in present], np.int64)
            clicks = click(pixel, present.astype(np.uint8), 'points', request.num_classes, present, self.error,
                           make_generator('clicks', *tags))
            points = clicks.clicks if request.kind == CLASS_POINTS else 0
            named = None
            if request.kind == TAGS:
                named = tuple(np.unique(clicks.said[clicks.said < VOID]).tolist())
            else:
                answer.ravel()[pixel] = clicks.said
            seconds = self.costs.seconds(request.kind, request.num_classes, region.size, found=clicks.clicks)
            yield Answer(key=key, answer=answer, annotator=name, tool=type(self).__name__, points=points, clicks=clicks.clicks,
                         components=1, seconds=self._spread(seconds, tags), tags=named)

    def _spread(self, seconds: float, tags: tuple[int | str, ...]) -> float:
        """What it took this person."""
        spread = self.error.time_spread
        if not spread:
            return seconds
        return seconds * float(np.exp(spread * make_generator('time', *tags).standard_normal() - spread**2 / 2))

    def _owners(self, request: Request, key: str, region: np.ndarray) -> np.ndarray | None:
        """Which person each asked pixel goes to, int64; None: everybody gets every one."""
        if self.assignment == 'all' or len(self.people) == 1:
            return None
        _, inverse = np.unique(_items(region, np.flatnonzero(region), request.kind), return_inverse=True)
        count = int(inverse.max()) + 1
        generator = make_generator('assignment', self.seed, request.request_id, key)
        return generator.integers(0, len(self.people), count)[inverse]

    def _build(self) -> None:
        if self._dataset is not None:
            return
        dataset = self._dataset_config
        if isinstance(dataset, Mapping):
            dataset = DATASETS.build({**dataset, 'labelled': True, 'label_dir': None, 'pipeline': []})
        self._dataset = dataset

    def _truth(self, key: str, shape: tuple[int, ...], num_classes: int) -> np.ndarray:
        try:
            truth = np.asarray(self._dataset.load_label(key))
        except KeyError as error:
            raise ValueError(f'the oracle has no image {key!r}: annotator.dataset must list the same images as the '
                             f'target training set ({error})') from error
        if truth.shape != shape:
            raise ValueError(f'{self._dataset.label_path(key)}: label is {truth.shape}, the image {shape} (height, '
                             'width); labels must have the native size of their image')
        highest = int(np.where(truth == 255, 0, truth).max())
        if highest >= num_classes:
            raise ValueError(f'{self._dataset.label_path(key)}: label holds class {highest}; the request has classes '
                             f'0..{num_classes - 1}; give annotator.dataset the same `classes` as the target')
        return truth


def _items(region: np.ndarray, asked: np.ndarray, kind: str) -> np.ndarray:
    """Point or region of every asked pixel, int64; points are told apart by place, region ids end at 65535."""
    return asked.astype(np.int64) if kind == 'points' else region.ravel()[asked].astype(np.int64)


def _people(name: str, annotators: int | Sequence[str]) -> tuple[str, ...]:
    if isinstance(annotators, int):
        if annotators < 1:
            raise ValueError(f'annotators is {annotators}; expected a number >= 1, or names')
        return (name, ) if annotators == 1 else tuple(f'{name}_{i + 1}' for i in range(annotators))
    people = (annotators, ) if isinstance(annotators, str) else tuple(str(person) for person in annotators)
    if not people or len(set(people)) != len(people):
        raise ValueError(f'annotators is {list(people)}; expected one or more different names')
    return people
