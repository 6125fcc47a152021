# SPDX-License-Identifier: Apache-2.0
"""Losses on the shape of a prediction alone: entropy minimisation, maximum squares, confidence regularisers.

MinEnt (Vu et al., CVPR 2019), MaxSquare and MaxSquare-IW (Chen, Xue, Cai, ICCV 2019), CRST-MRKLD (Zou et al., ICCV 2019),
both regularisers of IAST (Mei et al., ECCV 2020), FDA's entropy (Yang and Soatto, CVPR 2020): the papers differ in the measure,
the pixels it is taken over and the denominator, which are the arguments here. Means run over the global batch; authors'
code takes those of one process.
"""
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from udatools.ops.confidence import (
    charbonnier_entropy_map,
    entropy_map,
    image_wise_class_weights,
    kld_to_uniform_map,
    max_squares_map,
)
from udatools.ops.losses import global_pixel_count
from udatools.registry import OBJECTIVES

from .base import Objective

if TYPE_CHECKING:
    from udatools.models.segmentors import DomainBatch, UDABatch, UDASegmentor

#: Measure -> (map of logits, keyword arguments it takes).
MEASURES: dict[str, tuple[Callable[..., Tensor], tuple[str, ...]]] = {
    'entropy': (entropy_map, ()),
    'entropy_nats': (partial(entropy_map, normalised=False), ()),
    'kld': (kld_to_uniform_map, ()),
    'max_squares': (max_squares_map, ('image_wise', 'ratio')),
    'charbonnier_entropy': (charbonnier_entropy_map, ('eta', )),
}


@OBJECTIVES.register_module()
class PredictionRegularizer(Objective):
    r"""Weighted mean of a measure of the prediction over the pixels of one domain.

    Args:
        measure (str): ``'entropy'`` (divided by log C, in [0, 1]: MinEnt), ``'entropy_nats'`` (IAST), ``'kld'``
            (:math:`-\frac{1}{C} \sum \log p`: MRKLD, IAST), ``'max_squares'`` (:math:`-\frac{1}{2} \sum p^2`: MaxSquare) or
            ``'charbonnier_entropy'`` (FDA).
        domain (str): ``'source'`` or ``'target'``.
        heads (dict[str, float]): weight of each head. Defaults to ``dict(main=1.0)``.
        region (str): ``'all'`` pixels, the ``'labelled'`` ones (label not 255) or the ``'ignored'`` ones.
        normalisation (str): ``'pixels'``: mean over the region; ``'pixels_classes'``: sum over the region divided by *all*
            pixels times the number of classes (IAST's authors). Both over the global batch.
        loss_weight (float): of the sum over the heads.
        measure_kwargs: ``image_wise`` (bool) and ``ratio`` (0.2) of ``'max_squares'``: each pixel weighs
            :math:`(N / N_c)^{ratio}`, c the class it is predicted as, counted in its image's region (MaxSquare-IW);
            ``eta`` (2.0) of ``'charbonnier_entropy'``.

    Raises:
        ValueError: for an unknown choice, or a region of labels where the domain has none.
        TypeError: for an argument that the measure does not take.
    """

    def __init__(self, measure: str, *, domain: str = 'target', heads: dict[str, float] | None = None, region: str = 'all',
                 normalisation: str = 'pixels', loss_weight: float = 1.0, **measure_kwargs) -> None:
        super().__init__()
        for name, value, choices in (('measure', measure, MEASURES), ('domain', domain, ('source', 'target')),
                                     ('region', region, ('all', 'labelled', 'ignored')),
                                     ('normalisation', normalisation, ('pixels', 'pixels_classes'))):
            if value not in choices:
                raise ValueError(f'{name} is {value!r}; expected one of {", ".join(map(repr, choices))}')
        function, accepted = MEASURES[measure]
        if unknown := measure_kwargs.keys() - set(accepted):
            raise TypeError(f"the measure '{measure}' does not take {sorted(unknown)}; it takes {list(accepted) or 'nothing'}")
        self.image_wise = bool(measure_kwargs.pop('image_wise', False))
        self.ratio = float(measure_kwargs.pop('ratio', 0.2))
        if not 0 <= self.ratio <= 1:
            raise ValueError(f'ratio is {self.ratio}; expected a value in [0, 1], the paper uses 0.2')
        self.map_of = partial(function, **measure_kwargs)
        self.measure, self.domain, self.region, self.normalisation = measure, domain, region, normalisation
        self.heads = dict(heads or {'main': 1.0})
        self.loss_weight = loss_weight

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_<head>``, and the unweighted ``<measure>_<head>`` to watch, for each head."""
        domain = batch.domain(self.domain, needed_by='PredictionRegularizer')
        if missing := self.heads.keys() - domain.logits.keys():
            raise ValueError(f'PredictionRegularizer weighs the heads {sorted(missing)}, the model has {sorted(domain.logits)}')
        region = self._region(domain)
        outputs: dict[str, Tensor] = {}
        for head, weight in self.heads.items():
            value = self._reduce(domain.logits[head], region)
            outputs[f'loss_{head}'] = self.loss_weight * weight * value
            outputs[f'{self.measure}_{head}'] = value.detach()
        return outputs

    def _region(self, domain: 'DomainBatch') -> Tensor | None:
        """bool (B, H, W), None for all pixels."""
        if self.region == 'all':
            return None
        if domain.label is None:
            raise ValueError(f"PredictionRegularizer has region='{self.region}', but the {self.domain} domain has no labels; "
                             "give it a label_dir with pseudo-labels, or use region='all'")
        return domain.label != 255 if self.region == 'labelled' else domain.label == 255

    def _reduce(self, logits: Tensor, region: Tensor | None) -> Tensor:
        values = self.map_of(logits)
        num_classes = logits.shape[1]
        if self.image_wise:
            values = values * self._relative_weights(logits, region)
        if region is not None:
            values = values * region
        if region is None or self.normalisation == 'pixels_classes':
            pixels = values.new_full((), values.numel())
        else:
            pixels = region.sum()
        denominator = global_pixel_count(pixels)
        return values.sum() / (denominator * num_classes if self.normalisation == 'pixels_classes' else denominator)

    def _relative_weights(self, logits: Tensor, region: Tensor | None) -> Tensor:
        """(B, H, W): the weight of each pixel's predicted class, times the image's pixels; 1 everywhere at ratio 0."""
        prediction = logits.detach().argmax(1)
        weights = image_wise_class_weights(prediction, logits.shape[1], ratio=self.ratio, region=region)
        size = prediction[0].numel() if region is None else region.flatten(1).sum(1, keepdim=True)
        return (weights * size).gather(1, prediction.flatten(1)).view_as(prediction)
