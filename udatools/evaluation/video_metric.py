# SPDX-License-Identifier: Apache-2.0
"""What the metrics over clips share: a protocol, and samples that say which frame of which clip they are."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from mmengine.evaluator import BaseMetric

from udatools.datasets.taxonomies import ClassSpec
from udatools.evaluation.protocols import get_protocol


class ClipFrame(NamedTuple):
    """A predicted frame: ``name`` for messages, ``clip``, ``frame`` number, and ``pred``, integer (H, W)."""
    name: str
    clip: str
    frame: int
    pred: np.ndarray


class VideoMetric(BaseMetric):
    """Base of metrics over the clips of a video validation set.

    Args:
        protocol (str | Mapping): As :func:`get_protocol`. Default: ``cityscapes19``.
        prefix (str, optional): As in mmengine. Default: none.

    Raises:
        KeyError: If the protocol is unknown.
    """
    default_prefix = ''

    def __init__(self, protocol: ClassSpec = 'cityscapes19', *, prefix: str | None = None) -> None:
        super().__init__(collect_device='cpu', prefix=prefix)
        self.protocol = get_protocol(protocol)
        self.assignment: list[int] = []

    @property
    def dataset_meta(self) -> dict | None:
        """dict | None: metainfo of the data set; setting it checks its classes against the protocol."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        self.assignment = self.protocol.assignment(dataset_meta['classes'])
        self._dataset_meta = dataset_meta

    def read_sample(self, sample: Mapping[str, Any]) -> ClipFrame:
        """Reads identity and prediction of a data sample.

        Raises:
            ValueError: If the sample does not say its clip and frame, or the classes of the model are not known yet.
        """
        kind = type(self).__name__
        if self.dataset_meta is None:
            raise ValueError(f'{kind} has no dataset_meta; set it to the metainfo of the data set')
        name = str(sample.get('img_path') or sample.get('key'))
        if 'clip' not in sample or 'frame' not in sample:
            raise ValueError(f"{name} comes without clip and frame, which {kind} needs; use a video data set and add 'clip' and "
                             "'frame' to meta_keys of PackSegInputs in the pipeline")
        pred = sample['pred_sem_seg']['data']
        return ClipFrame(name, str(sample['clip']), int(sample['frame']), pred.reshape(pred.shape[-2:]).cpu().numpy())

    def with_prefix(self, result: dict[str, float]) -> dict[str, float]:
        """Returns the metrics under the names that the evaluator wants."""
        return {f'{self.prefix}/{key}': value for key, value in result.items()} if self.prefix else result
