# SPDX-License-Identifier: Apache-2.0
"""An oracle that answers from ground truth: the only door through which target labels enter.

A label file is opened only when its image has asked pixels, and nothing but those pixels leaves this module.
"""
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from udatools.registry import ANNOTATORS, DATASETS

from ..costs import CostModel
from ..request import NOT_ANSWERED, VOID, Answer, Request
from .base import Annotator


@ANNOTATORS.register_module()
class GroundTruthOracle(Annotator):
    """Answers with the label of every asked pixel; where the ground truth is ignore it answers void.

    Args:
        dataset (Mapping | object): config of a ``DomainDataset`` with ``labelled=True`` over the same images, or the
            built data set. Its pipeline is not used.
        costs (Mapping | None): arguments of :class:`udatools.active.costs.CostModel`.
        name (str): who answers, in the ledger.

    Raises:
        ValueError: if the data set is not labelled.
    """

    def __init__(self, dataset: Mapping[str, Any] | Any, *, costs: Mapping[str, Any] | None = None,
                 name: str = 'oracle') -> None:
        self.name = name
        self.costs = CostModel(**(costs or {}))
        self._dataset_config = dataset
        self._dataset: Any = None
        if isinstance(dataset, Mapping) and not dataset.get('labelled', True):
            raise ValueError('the oracle was given a data set with labelled=False; it needs the ground truth: '
                             'set labelled=True in annotator.dataset')

    def answer(self, request: Request, keys: Sequence[str]) -> Iterator[Answer]:
        """Look up the labels of the asked pixels, image by image."""
        self._build()
        for key in keys:
            region = request.regions(key)
            asked = region > 0
            answer = np.full(region.shape, NOT_ANSWERED, np.uint8)
            truth = self._truth(key, region.shape, request.num_classes)
            answer[asked] = np.where(truth[asked] == 255, VOID, truth[asked])
            count = int(asked.sum())
            regions = int(np.unique(region[asked]).size)
            # One click per class and region: a region across a boundary takes one click on each side.
            pairs = region[asked].astype(np.int64) * 256 + answer[asked]
            yield Answer(
                key=key,
                answer=answer,
                annotator=self.name,
                tool=type(self).__name__,
                points=count if request.kind == 'points' else 0,
                clicks=int(np.unique(pairs).size),
                components=count if request.kind == 'points' else regions,
                seconds=self.costs.seconds(request.kind, count, asked.size))

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
