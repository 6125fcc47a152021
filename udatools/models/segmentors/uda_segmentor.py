# SPDX-License-Identifier: Apache-2.0
"""The segmentor of every method: a stock mmseg segmentor plus a list of objectives.

One forward pass a domain, every objective reads the same outputs, mmengine sums their losses and goes backward once.
Nothing here overrides ``train_step`` (``MMDistributedDataParallel`` would silently ignore it), nothing calls
``backward``. The segmentor stays an ordinary ``EncoderDecoder`` below ``segmentor.``, so a plain checkpoint is a matter
of dropping the prefix.
"""
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import torch
import torch.nn as nn
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from udatools.registry import MODELS, OBJECTIVES

from .batch import DomainBatch, UDABatch, sample_fields
from .teacher import Teacher


@MODELS.register_module()
class UDASegmentor(BaseModel):
    """A segmentor trained by objectives.

    Args:
        segmentor (dict): config of a mmseg ``EncoderDecoder`` (its ``decode_head`` is the head ``main``, a single
            ``auxiliary_head`` the head ``aux``).
        objectives (list[dict]): configs of ``OBJECTIVES``. The key ``name`` tells two of one type apart and prefixes
            the logged losses; it defaults to the type.
        running_statistics (str): whose batches move the running statistics of batch norm where a batch holds both domains.
            ``'both'``: as in the AdaptSegNet line; what is deployed on the target is then normalised by a mixture.
            ``'target'``: the target's alone. Each domain is normalised by its own batch in training either way.
        teacher (dict, optional): arguments of :class:`Teacher`; ``batch.target.teacher_prob``, or that of its domain, then
            holds its prediction.
        mixing (dict, optional): a component such as ``ClassMix`` that makes the domain ``mixed`` of the other two and the
            teacher's prediction; one more forward pass.
        label_refinement (dict, optional): a component such as ``TemporalConsensus`` that rewrites the labels of the target
            before mixing and objectives see them.
        shared_forward (bool): source and target go through the network as one batch. Batch norm then normalises by both
            domains together (unless it is in ``eval`` mode); both must have the same size.
        channels_last (bool): memory format of the network and its inputs.
        compile (bool): the network of the student goes through ``torch.compile``.
        data_preprocessor (dict, optional): a ``UDADataPreprocessor``.

    Raises:
        ValueError: for two objectives of one name, an unknown ``running_statistics``, or a shared forward with the
            statistics of the target alone.
    """

    def __init__(self, segmentor: dict, *, objectives: list[dict] | tuple[dict, ...] = (),
                 running_statistics: str = 'both', teacher: dict | None = None, mixing: dict | None = None,
                 label_refinement: dict | None = None, shared_forward: bool = False, channels_last: bool = True,
                 compile: bool = False, data_preprocessor: dict | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        if running_statistics not in ('both', 'target'):
            raise ValueError(f"running_statistics is {running_statistics!r}; expected 'both' or 'target'")
        if shared_forward and running_statistics == 'target':
            raise ValueError("shared_forward=True normalises both domains together; it needs running_statistics='both'")
        self.running_statistics = running_statistics
        self.shared_forward = shared_forward
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.segmentor = MODELS.build(segmentor)
        self.teacher = Teacher(segmentor, **teacher) if teacher is not None else None
        self.mixing = MODELS.build(mixing) if mixing is not None else None
        self.label_refinement = MODELS.build(label_refinement) if label_refinement is not None else None
        if channels_last:
            self.to(memory_format=torch.channels_last)
        if compile:  # in place: the names of the parameters stay
            for part in ('backbone', 'neck', 'decode_head', 'auxiliary_head'):
                if getattr(self.segmentor, part, None) is not None:
                    getattr(self.segmentor, part).compile()
        self.objectives = nn.ModuleDict()
        for cfg in objectives:
            cfg = dict(cfg)
            name = cfg.pop('name', cfg['type'])
            if 'loss' in name:  # mmengine sums every logged key with that substring, monitored values too
                raise ValueError(f"the objective name '{name}' contains 'loss'; choose another")
            if name in self.objectives:
                raise ValueError(f"two objectives are called '{name}'; give one of them another name=")
            self.objectives[name] = OBJECTIVES.build(cfg)

    # What stock mmseg tools look for on a segmentor.
    @property
    def decode_head(self) -> nn.Module:
        """The main head."""
        return self.segmentor.decode_head

    @property
    def out_channels(self) -> int:
        """Number of output channels of the main head."""
        return self.segmentor.out_channels

    @property
    def align_corners(self) -> bool:
        """Of the main head's upsampling."""
        return self.segmentor.align_corners

    def optimised_parts(self) -> dict[str, nn.Module]:
        """Trainable parts by the name of the optimiser that trains them."""
        parts: dict[str, nn.Module] = {'segmentor': self._segmentor_part()}
        grouped: dict[str, list[nn.Module]] = {}
        for objective in self.objectives.values():
            for name, module in objective.optimised_parts().items():
                grouped.setdefault(name, []).append(module)
        return parts | {name: nn.ModuleList(modules) for name, modules in grouped.items()}

    def _segmentor_part(self) -> nn.Module:
        return self.segmentor

    def forward(self, inputs: Tensor | dict[str, Tensor], data_samples=None, mode: str = 'tensor'):
        """mmengine's three modes; ``loss`` takes the nested batch, the others a plain one."""
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        return self.segmentor(inputs, data_samples, mode)

    def loss(self, inputs: dict[str, Tensor], data_samples: dict[str, list[SegDataSample]]) -> dict[str, Tensor]:
        """Named losses of all objectives on one batch."""
        domains = self._forward_domains(inputs, {name: _stack_labels(data_samples[name]) for name in inputs})
        batch = UDABatch(**{name: replace(domain, **sample_fields(data_samples[name])) for name, domain in domains.items()})
        if self.teacher is not None and (taught := getattr(batch, self.teacher.domain)) is not None:
            taught.teacher_prob = self.teacher.predict_prob(taught.inputs)
        losses: dict[str, Tensor] = {}
        if self.label_refinement is not None:
            watched = self.label_refinement(batch, self.data_preprocessor)
            losses.update({f'label_refinement.{key}': value for key, value in watched.items()})
        if self.mixing is not None:
            batch.mixed = self.forward_made(*self.mixing(batch))
        for name, objective in self.objectives.items():
            losses.update({f'{name}.{key}': value for key, value in objective(batch, self).items()})
        return losses

    def _forward_domains(self, inputs: dict[str, Tensor], labels: dict[str, Tensor | None]) -> dict[str, DomainBatch]:
        if self.shared_forward and len(inputs) > 1:
            return self._forward_shared(inputs, labels)
        outputs = {}
        for name, images in inputs.items():
            keep = name == 'source' and 'target' in inputs and self.running_statistics == 'target'
            with _kept_statistics(self) if keep else nullcontext():
                outputs[name] = DomainBatch(images, labels[name], *self._forward_images(images))
        return outputs

    def forward_made(self, images: Tensor, label: Tensor, weight: Tensor) -> DomainBatch:
        """One more forward pass, of images that were made of a domain's: mixed, masked, ...

        Args:
            images (Tensor): float, (B, 3, H, W), preprocessed.
            label (Tensor): int64, (B, H, W), 255 = ignore.
            weight (Tensor): float32, (B, H, W), of each pixel's label.

        Returns:
            DomainBatch: with features and logits. Running statistics of batch norm move by ``'both'`` alone.
        """
        with _kept_statistics(self) if self.running_statistics == 'target' else nullcontext():
            return DomainBatch(images, label, *self._forward_images(images), weight=weight)

    def _forward_shared(self, inputs: dict[str, Tensor], labels: dict[str, Tensor | None]) -> dict[str, DomainBatch]:
        sizes = {name: tuple(images.shape[2:]) for name, images in inputs.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f'shared_forward=True needs inputs of one size, got {sizes}; crop or resize both domains to '
                             'it, or leave shared_forward off')
        counts = [len(images) for images in inputs.values()]
        features, logits = self._forward_images(torch.cat(list(inputs.values())))
        parts = [feature.split(counts) for feature in features]
        by_head = {head: value.split(counts) for head, value in logits.items()}
        return {
            name: DomainBatch(inputs[name], labels[name], tuple(part[i] for part in parts),
                              {head: value[i] for head, value in by_head.items()})
            for i, name in enumerate(inputs)
        }

    def _forward_images(self, images: Tensor) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        """Backbone outputs, and the logits of every head at the size of the images."""
        features = tuple(self.segmentor.extract_feat(images.contiguous(memory_format=self.memory_format)))
        return features, {name: self.upsample(value, images.shape[2:]) for name, value in self._head_logits(features).items()}

    def _head_logits(self, features: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Logits by head, each computed once; a head of two classifiers (``pair``) is ``first``, ``second`` and their sum."""
        logits: dict[str, Tensor] = {}
        for name, head in self._heads().items():
            if name == 'main' and hasattr(head, 'pair'):
                logits['first'], logits['second'] = head.pair(features)
                logits[name] = logits['first'] + logits['second']
            else:
                logits[name] = head(features)
        return logits

    def _heads(self) -> dict[str, nn.Module]:
        heads = {'main': self.segmentor.decode_head}
        if getattr(self.segmentor, 'with_auxiliary_head', False):
            heads['aux'] = self.segmentor.auxiliary_head
        return heads

    def upsample(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Bilinear to ``size`` (H, W), with the main head's corner rule."""
        return resize(logits, size=tuple(size), mode='bilinear', align_corners=self.align_corners)

    @torch.no_grad()
    def predict_prob(self, inputs: Tensor, size: tuple[int, int]) -> Tensor:
        """Probabilities of the main head at a given size.

        Args:
            inputs (Tensor): float, (B, 3, h, w), preprocessed.
            size (tuple[int, int]): (H, W) of the answer.

        Returns:
            Tensor: float32, (B, C, H, W), in [0, 1], summing to 1 over C. Logits are upsampled to the input first and
            to ``size`` next, as mmseg does at test time.
        """
        return self.expand_logits(self.infer_logits(inputs), inputs.shape[2:], size)

    @torch.no_grad()
    def infer_logits(self, inputs: Tensor) -> Tensor:
        """The expensive half of ``predict_prob``: logits of the main head as they leave it, float (B, C, h/8, w/8)."""
        return self.segmentor.decode_head(self.segmentor.extract_feat(inputs))

    def _prob(self, head: nn.Module, features, input_size, size: tuple[int, int]) -> Tensor:
        return self.expand_logits(head(features), input_size, size)

    def expand_logits(self, logits: Tensor, input_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """The cheap half: upsampling to the input, then to ``size``, and softmax; float32 (B, C, H, W).

        From contiguous logits, as they are when they come from disk: the last bits depend on the layout.
        """
        logits = self.upsample(logits.contiguous(), input_size)
        if tuple(size) != tuple(input_size):
            logits = self.upsample(logits, size)
        return logits.float().softmax(1)


@contextmanager
def _kept_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norm normalises by its batch as ever, but its running statistics stay."""
    momenta = {layer: layer.momentum for layer in model.modules() if isinstance(layer, _BatchNorm)}
    try:
        for layer in momenta:
            layer.momentum = 0.0
        yield
    finally:
        for layer, momentum in momenta.items():
            layer.momentum = momentum


def _stack_labels(data_samples: list[SegDataSample]) -> Tensor | None:
    """int64 (B, H, W) of the samples' ``gt_sem_seg``, None where the samples have none."""
    fields: list[PixelData] = [sample.gt_sem_seg for sample in data_samples if 'gt_sem_seg' in sample]
    if not fields:
        return None
    return torch.stack([part.data.squeeze(0) for part in fields]).long()
