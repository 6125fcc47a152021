# SPDX-License-Identifier: Apache-2.0
"""Which checkpoint to deliver, judged on the target training images without their labels.

Criteria are means over images, or over a fixed draw of pixels; what each image contributes is gathered and reduced in
data-set order, so one process and eight give the same number to the last bit.
"""
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from torch import Tensor
from torch.nn.functional import interpolate

from udatools.ops.model_selection import label_agreement, mean_entropy, soft_neighbourhood_density
from udatools.utils.rng import make_generator

#: What needs target labels, and what no criterion at all.
LAST, TARGET_MIOU = 'last', 'target_miou'
ORACLE_NOTE = 'looks at target labels: an oracle, not a result'


class SelectionCriterion(ABC):
    """A number for a model, from its predictions on unlabelled images.

    Args:
        images (int, optional): use that many images, evenly spaced over the set; all by default.
        seed (int): of criteria that draw.

    Raises:
        ValueError: for a number of images below 1.
    """

    name: str
    higher_is_better: bool

    def __init__(self, *, images: int | None = None, seed: int = 0) -> None:
        if images is not None and images < 1:
            raise ValueError(f'images is {images}; expected a number of images from 1, or None for all')
        self.images, self.seed = images, int(seed)

    @abstractmethod
    def measure(self, model: Any, inputs: Tensor, size: tuple[int, int], key: str, share: int) -> np.ndarray:
        """What one image contributes.

        Args:
            model (torch.nn.Module): with ``predict_prob(inputs, size)``.
            inputs (Tensor): float, (1, 3, h, w), preprocessed.
            size (tuple[int, int]): native (H, W).
            key (str): identity of the image.
            share (int): number of images that are measured.

        Returns:
            np.ndarray: any shape.
        """

    @abstractmethod
    def reduce(self, parts: Sequence[np.ndarray]) -> float:
        """The value of a model from the contributions in data-set order."""

    def settings(self) -> dict[str, Any]:
        """JSON-able settings that the value depends on."""
        return dict(criterion=self.name, images=self.images, seed=self.seed)


class _MeanOverPixels(SelectionCriterion):
    """Images weigh by their pixels."""

    def reduce(self, parts: Sequence[np.ndarray]) -> float:
        """Mean of the first numbers, weighted by the second."""
        return math.fsum(value * pixels for value, pixels in parts) / math.fsum(pixels for _, pixels in parts)


class MeanEntropy(_MeanOverPixels):
    """Mean normalised entropy of the prediction, in [0, 1]; low is sure."""

    name, higher_is_better = 'entropy', False

    def measure(self, model: Any, inputs: Tensor, size: tuple[int, int], key: str, share: int) -> np.ndarray:
        """Mean and number of pixels."""
        return np.array([mean_entropy(model.predict_prob(inputs, size)[0]), size[0] * size[1]])


class AugmentationConsistency(_MeanOverPixels):
    """Share of pixels with the same label when the image is mirrored and rescaled, in [0, 1].

    Args:
        scale (float): of the second view, > 0.
        images, seed: as :class:`SelectionCriterion`.

    Raises:
        ValueError: for a scale that is not positive.
    """

    name, higher_is_better = 'consistency', True

    def __init__(self, *, scale: float = 0.75, images: int | None = None, seed: int = 0) -> None:
        super().__init__(images=images, seed=seed)
        if scale <= 0:
            raise ValueError(f'scale is {scale}; expected a positive number')
        self.scale = float(scale)

    def measure(self, model: Any, inputs: Tensor, size: tuple[int, int], key: str, share: int) -> np.ndarray:
        """Agreement and number of pixels."""
        view_size = [max(1, round(side * self.scale)) for side in inputs.shape[2:]]
        view = interpolate(inputs.flip(3), view_size, mode='bilinear', align_corners=False, antialias=self.scale < 1)
        prob, other = model.predict_prob(inputs, size)[0], model.predict_prob(view, size)[0].flip(2)
        return np.array([label_agreement(prob, other), size[0] * size[1]])

    def settings(self) -> dict[str, Any]:
        """With the scale."""
        return super().settings() | dict(scale=self.scale)


class SoftNeighbourhoodDensity(SelectionCriterion):
    """SND of a fixed draw of pixels, the same number from every image (Saito et al., ICCV 2021).

    Args:
        pixels (int): of the whole set, from 2; each image gives an equal number, at least one.
        temperature (float): of the paper, > 0.
        images, seed: as :class:`SelectionCriterion`.

    Raises:
        ValueError: for values out of range.
    """

    name, higher_is_better = 'density', True

    def __init__(self, *, pixels: int = 4096, temperature: float = 0.05, images: int | None = None, seed: int = 0) -> None:
        super().__init__(images=images, seed=seed)
        if pixels < 2 or temperature <= 0:
            raise ValueError(f'pixels={pixels}, temperature={temperature}; expected pixels >= 2 and a positive temperature')
        self.pixels, self.temperature = int(pixels), float(temperature)

    def measure(self, model: Any, inputs: Tensor, size: tuple[int, int], key: str, share: int) -> np.ndarray:
        """Probabilities of this image's pixels: float32 (n, C). The draw depends on seed and key alone."""
        total = size[0] * size[1]
        count = min(total, math.ceil(self.pixels / share))
        chosen = make_generator(self.seed, 'model_selection', key).choice(total, count, replace=False)
        prob = model.predict_prob(inputs, size)[0].flatten(1)
        return prob[:, torch.from_numpy(np.sort(chosen)).to(prob.device)].T.float().cpu().numpy()

    def reduce(self, parts: Sequence[np.ndarray]) -> float:
        """Density over all pixels together."""
        return soft_neighbourhood_density(torch.from_numpy(np.concatenate(parts)), self.temperature)

    def settings(self) -> dict[str, Any]:
        """With pixels and temperature."""
        return super().settings() | dict(pixels=self.pixels, temperature=self.temperature)


CRITERIA: dict[str, type[SelectionCriterion]] = {
    kind.name: kind for kind in (MeanEntropy, AugmentationConsistency, SoftNeighbourhoodDensity)
}
#: All choices of ``--select``.
CHOICES = (LAST, *CRITERIA, TARGET_MIOU)


def parse_select(select: str | Mapping[str, Any] | None, *, seed: int = 0) -> SelectionCriterion | str:
    """The top-level config value ``select``: a name, or ``dict(criterion=name, **settings)``.

    Args:
        select (str | Mapping, optional): None is ``'last'``.
        seed (int): of criteria that draw, unless the settings have one.

    Returns:
        SelectionCriterion | str: a criterion, or ``'last'`` or ``'target_miou'``.

    Raises:
        ValueError: for an unknown criterion or setting.
    """
    settings: dict[str, Any] = dict(criterion=select or LAST) if select is None or isinstance(select, str) else dict(select)
    name = settings.pop('criterion', None)
    if name not in CHOICES:
        raise ValueError(f'select is {select!r}; expected one of {", ".join(CHOICES)}, or dict(criterion=one of them, ...)')
    if name in CRITERIA:
        try:
            return CRITERIA[name](**dict(dict(seed=seed), **settings))
        except TypeError as error:
            raise ValueError(f'select is {select!r}: {error}') from error
    if settings:
        raise ValueError(f"select='{name}' takes no settings, got {sorted(settings)}")
    return str(name)


@torch.no_grad()
def score_model(criterion: SelectionCriterion, model: Any, images: Any) -> float:
    """The value of a model. Collective: every rank calls it with the same arguments and gets the same number.

    Args:
        criterion (SelectionCriterion): which value.
        model (torch.nn.Module): a ``UDASegmentor`` in evaluation mode.
        images (TargetImages): the target training images.

    Raises:
        ValueError: when there is no image.
        RuntimeError: on ranks that did not fail themselves, naming the rank that did.
    """
    if len(images) == 0:
        raise ValueError('there is no target image to choose a checkpoint with; check data_root and split of target_images')
    count = min(criterion.images or len(images), len(images))
    indices = [position * len(images) // count for position in range(count)]
    rank, world = get_rank(), get_world_size()
    own: list[np.ndarray] = []
    failure: Exception | None = None
    try:
        for index in indices[rank::world]:
            packed, sample = images[index]
            data = model.data_preprocessor({'inputs': [packed], 'data_samples': [sample]}, False)
            height, width = sample.ori_shape[:2]
            own.append(criterion.measure(model, data['inputs'], (int(height), int(width)), images.keys[index], count))
    except Exception as error:
        failure = error
    gathered = all_gather_object((own, None if failure is None else f'{type(failure).__name__}: {failure}'))
    if failure is not None:
        raise failure
    for number, (_, message) in enumerate(gathered):
        if message is not None:
            raise RuntimeError(f'rank {number} failed while choosing a checkpoint: {message}')
    return criterion.reduce([gathered[position % world][0][position // world] for position in range(count)])


def choose(values: Sequence[float | None], *, higher_is_better: bool) -> int:
    """Index of the best value; the latest of equal ones. Without any finite value it is the last index.

    Args:
        values (Sequence[float | None]): in the order of training; None or nan where a model has no value.
        higher_is_better (bool): direction.
    """
    if not values:
        raise ValueError('there is nothing to choose from')
    sign = 1 if higher_is_better else -1
    ranked = [(sign * value, index) for index, value in enumerate(values) if value is not None and math.isfinite(value)]
    return max(ranked)[1] if ranked else len(values) - 1


def format_selection(selection: Mapping[str, Any]) -> str:
    """The small table of a choice: one line a candidate, and whether target labels were looked at.

    Args:
        selection (Mapping): ``criterion``, ``uses_target_labels``, ``higher_is_better``, ``candidates`` (``checkpoint`` and
            ``value`` each), ``chosen``.
    """
    oracle = selection['uses_target_labels']
    direction = 'higher' if selection['higher_is_better'] else 'lower'
    note = ORACLE_NOTE if oracle else 'no target labels'
    lines = [f'checkpoint by {selection["criterion"]} ({direction} is better; {note})']
    names = [candidate['checkpoint'].rpartition('/')[2].removesuffix('.pth') for candidate in selection['candidates']]
    width = max(map(len, names))
    for name, candidate in zip(names, selection['candidates'], strict=True):
        value = 'n/a' if candidate['value'] is None else f'{candidate["value"]:.2f}' if oracle else f'{candidate["value"]:.5f}'
        chosen = '  <- chosen' if candidate['checkpoint'] == selection['chosen'] else ''
        lines.append(f'  {name:<{width}}  {value:>8}{chosen}')
    return '\n'.join(lines)


def describe_selection(stage: str, selection: Mapping[str, Any]) -> str:
    """One line below a table of results: what was chosen for a stage, and whether target labels were looked at."""
    name = selection['chosen'].rpartition('/')[2].removesuffix('.pth')
    note = ORACLE_NOTE if selection['uses_target_labels'] else 'without target labels'
    return f'{stage}: {name}, one of {len(selection["candidates"])} checkpoints, chosen by {selection["criterion"]} ({note})'
