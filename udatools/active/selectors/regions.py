# SPDX-License-Identifier: Apache-2.0
"""One click, one region: superpixels or connected regions of the prediction, each answered with one label.

Superpixels are those of scikit-image (SLIC; Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel
Methods", TPAMI 2012), an optional dependency.
"""
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from udatools.ops.regions import class_components
from udatools.ops.selection import (
    entropy,
    l1_discrepancy,
    least_confidence,
    margin_uncertainty,
    mcdal_discrepancy,
    predicted_class,
)
from udatools.registry import SELECTORS

from ..request import MAX_REGION
from .base import Candidates, Selector, allowed_of, check_count, check_portion

#: Name -> what it reads, and the score of every pixel, float (H, W), >= 0.
SCORES: dict[str, tuple[tuple[str, ...], Callable[..., Tensor]]] = {
    'entropy': (('prob', ), entropy),
    'margin': (('prob', ), margin_uncertainty),
    'confidence': (('prob', ), least_confidence),
    'mcdal': (('prob', 'prob1', 'prob2'), mcdal_discrepancy),
    'discrepancy': (('prob1', 'prob2'), l1_discrepancy),
}


class RegionUnits(ABC):
    """A division of the image into regions.

    Attributes:
        inputs (tuple[str, ...]): what it reads, as of :class:`Selector`.
    """

    inputs: tuple[str, ...]

    @abstractmethod
    def __call__(self, outputs: Mapping[str, Tensor]) -> np.ndarray:
        """Region of every pixel: int, (H, W), >= 0."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """JSON-able settings."""


class Components(RegionUnits):
    """8-connected regions of one predicted class of the main model."""

    inputs = ('prob', )

    def __call__(self, outputs: Mapping[str, Tensor]) -> np.ndarray:
        """Regions of the argmax."""
        return class_components(predicted_class(outputs['prob']).cpu().numpy())

    def settings(self) -> dict[str, Any]:
        """The type."""
        return dict(type='components')


class Slic(RegionUnits):
    """SLIC superpixels of the image.

    Args:
        size (int): side of a superpixel in native pixels, about.
        compactness (float): > 0; larger ones are squarer and follow the image less.

    Raises:
        ValueError: for a value out of range.
        ImportError: without scikit-image.
    """

    inputs = ('image', )

    def __init__(self, size: int = 32, compactness: float = 10.0) -> None:
        check_count('size', size, 2)
        if compactness <= 0:
            raise ValueError(f'compactness is {compactness}; expected a number > 0')
        self.size, self.compactness = int(size), float(compactness)
        self._slic = _import_slic()

    def __call__(self, outputs: Mapping[str, Tensor]) -> np.ndarray:
        """Superpixels of the image."""
        image = outputs['image'].permute(1, 2, 0).cpu().numpy()
        count = max(1, round(image.shape[0] * image.shape[1] / self.size**2))
        region: np.ndarray = self._slic(image, n_segments=count, compactness=self.compactness, start_label=0, channel_axis=-1)
        return region

    def settings(self) -> dict[str, Any]:
        """Type and arguments."""
        return dict(type='slic', size=self.size, compactness=self.compactness)


def _import_slic() -> Callable[..., np.ndarray]:
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise ImportError("superpixels need scikit-image: pip install 'udatools[active]', or use "
                          f"units='components', which needs nothing ({error})") from error
    return slic


UNITS: dict[str, type[RegionUnits]] = {'components': Components, 'slic': Slic}


@SELECTORS.register_module()
class RegionSelector(Selector):
    """Whole regions by their mean score, one click each.

    Args:
        units (str | Mapping): ``'components'``, connected regions of one predicted class; ``'slic'``, superpixels; or
            ``dict(type='slic', size=32, compactness=10.0)``.
        score (str): ``'entropy'``, ``'margin'``, ``'confidence'``, ``'mcdal'``, or ``'discrepancy'`` (L1 distance of
            the two classifiers of the pixel selector).
        portion (float): share of each image that offered regions may cover, in (0, 1]; the best one is always offered.
        min_size (int): regions with fewer native pixels are not offered; slivers between two classes score highest.

    Raises:
        ValueError: for another word, or a value out of range.
    """

    kind = 'regions'

    def __init__(self, units: str | Mapping[str, Any] = 'components', *, score: str = 'entropy',
                 portion: float = 0.05, min_size: int = 0) -> None:
        arguments = dict(type=units) if isinstance(units, str) else dict(units)
        name = arguments.pop('type', None)
        if name not in UNITS:
            raise ValueError(f'units is {name!r}; expected one of {tuple(UNITS)}')
        if score not in SCORES:
            raise ValueError(f'score is {score!r}; expected one of {tuple(SCORES)}')
        check_count('min_size', min_size, 0)
        self.min_size = int(min_size)
        self.units, self.score, self.portion = UNITS[name](**arguments), score, check_portion(portion)
        self.inputs = tuple(dict.fromkeys((*SCORES[score][0], *self.units.inputs, 'excluded')))

    def candidates(self, outputs: Mapping[str, Tensor], key: str, generator: np.random.Generator) -> Candidates:
        """The best regions, as far as the portion goes; excluded pixels count nowhere."""
        names, score_of = SCORES[self.score]
        score = score_of(*(outputs[name] for name in names)).clamp_min(0).cpu().numpy()
        flat_index = np.flatnonzero(allowed_of(outputs, (score.shape[0], score.shape[1])))
        _, first, region, count = np.unique(
            self.units(outputs).ravel()[flat_index], return_index=True, return_inverse=True, return_counts=True)
        region = region.ravel()
        mean = (np.bincount(region, weights=score.ravel()[flat_index], minlength=count.size) / count).astype(np.float16)
        best = np.lexsort((first, -mean.astype(np.float32)))
        best = best[count[best] >= self.min_size]
        fits = np.cumsum(count[best]) <= self.portion * score.size
        fits[:1] = True
        offered = np.zeros(count.size, bool)
        offered[best[fits][:MAX_REGION]] = True
        chosen = offered[region]
        return Candidates(flat_index[chosen].astype(np.int32), mean[region[chosen]], region[chosen].astype(np.int32))

    def settings(self) -> dict[str, Any]:
        """Type and arguments."""
        return dict(type=type(self).__name__, units=self.units.settings(), score=self.score, portion=self.portion,
                    min_size=self.min_size)
