# SPDX-License-Identifier: Apache-2.0
"""Inference over a target training set, one image at a time at native resolution.

A batch of one on purpose: convolution algorithms may change in the last bits with the batch size, and labels and
selections must not depend on the number of ranks.
"""
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmseg.structures import SegDataSample
from torch import Tensor

from udatools.registry import DATASETS, MODELS
from udatools.utils.png import read_image


class TargetImages:
    """The images of a ``DomainDataset``, in dataset order, never a label.

    Args:
        dataset (dict): its config, whose ``pipeline`` ends in ``PackSegInputs`` and loads no label; ``labelled`` is
            forced off and ``label_dir`` dropped.
    """

    def __init__(self, dataset: dict) -> None:
        self.pipeline = Compose(dataset['pipeline'])
        self.dataset = DATASETS.build(dict(dataset, labelled=False, label_dir=None, pipeline=[], test_mode=True))
        self.keys: list[str] = list(self.dataset.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[Tensor, SegDataSample]:
        """Image (3, h, w) uint8 as the pipeline packs it, and its sample with ``ori_shape``."""
        packed = self.pipeline(self.dataset.get_data_info(index))
        return packed['inputs'], packed['data_samples']

    def native_image(self, index: int) -> Tensor:
        """The image as its file holds it: uint8, RGB, (3, H, W), on the CPU; a damaged file is an error that names it."""
        image = read_image(self.path(self.keys[index]))
        return torch.from_numpy(np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)))

    def path(self, key: str) -> Path:
        """The image file of a key."""
        return Path(self.dataset.image_path(key))

    def fingerprint(self) -> str:
        """Hash of what the set holds."""
        return self.dataset.fingerprint()


def build_predictor(model: dict, checkpoint: str | Path) -> torch.nn.Module:
    """A model in evaluation mode with a checkpoint's weights on this process's device.

    Objectives (and their discriminators) and teachers are not built. A ``PixelSelector`` checkpoint holds both classifiers.

    Args:
        model (dict): config of a ``UDASegmentor`` or ``PixelSelector``.
        checkpoint (str | Path): file written by a stage, of this run or another; no code in it is run.

    Raises:
        CheckpointError: when the file cannot be read, or holds more than weights and plain values.
        RuntimeError: when the checkpoint lacks parameters of the model.
    """
    from udatools.engine.runner.checkpoints import read_checkpoint  # the runner's package imports this module

    cfg = dict(model, objectives=[], teacher=None)
    predictor = MODELS.build(cfg)
    state = read_checkpoint(Path(checkpoint))['state_dict']
    own = predictor.state_dict()
    if missing := own.keys() - state.keys():
        raise RuntimeError(f'{checkpoint} does not fit {cfg["type"]}: {len(missing)} parameters are missing, such as '
                           f'{sorted(missing)[0]}; give the checkpoint of this model\'s own stage')
    predictor.load_state_dict({key: state[key] for key in own})
    return predictor.to(get_device()).eval()


def _inputs_of(model: torch.nn.Module, images: TargetImages, index: int) -> tuple[Tensor, tuple[int, int]]:
    packed, sample = images[index]
    data = model.data_preprocessor({'inputs': [packed], 'data_samples': [sample]}, False)
    height, width = sample.ori_shape[:2]
    return data['inputs'], (int(height), int(width))


@torch.no_grad()
def predict_prob(model: torch.nn.Module, images: TargetImages, index: int) -> Tensor:
    """Probabilities of the main head.

    Returns:
        Tensor: float32, (C, H, W) at native resolution, on the model's device.
    """
    inputs, size = _inputs_of(model, images, index)
    return model.predict_prob(inputs, size)[0]


@torch.no_grad()
def predict_pair(model: torch.nn.Module, images: TargetImages, index: int) -> tuple[Tensor, Tensor]:
    """Probabilities of both classifiers of a ``PixelSelector``; two tensors as of ``predict_prob``."""
    inputs, size = _inputs_of(model, images, index)
    first, second = model.predict_pair(inputs, size)
    return first[0], second[0]


class CompactPrediction(NamedTuple):
    """What the probabilities of one image are expanded from.

    Attributes:
        logits (list[np.ndarray]): float32, (C, h/8, w/8), one a model and view, flipped views flipped back.
        input_sizes (list[tuple[int, int]]): (h, w) of the network's input, same order.
        size (tuple[int, int]): native (H, W).
    """
    logits: list[np.ndarray]
    input_sizes: list[tuple[int, int]]
    size: tuple[int, int]


class ImagePredictor:
    """Mean of the probabilities of one or more models over one or more views of an image.

    The predictor of :func:`udatools.pseudo_labels.generate_pseudo_labels`. With one model and the view of scale 1 its
    probabilities are those of :func:`predict_prob`, bit for bit.

    Args:
        models (Sequence[torch.nn.Module]): as of :func:`build_predictor`, all with the same classes.
        images (TargetImages): what is predicted.
        scales (Sequence[float]): of the network's input, > 0; bilinear, on the preprocessed image. CBST and CRST
            generate at 0.9.
        flip (bool): every scale also mirrored left to right.

    Raises:
        ValueError: without a model, without a scale, or for a scale that is not positive.
    """

    def __init__(self, models: Sequence[torch.nn.Module], images: TargetImages, *, scales: Sequence[float] = (1.0, ),
                 flip: bool = False) -> None:
        if not models:
            raise ValueError('got no model; expected one or more')
        if not scales or min(scales) <= 0:
            raise ValueError(f'scales is {list(scales)}; expected one or more positive numbers, such as [0.9]')
        self.models, self.images = list(models), images
        self.scales, self.flip = [float(scale) for scale in scales], bool(flip)

    @torch.no_grad()
    def infer(self, index: int) -> CompactPrediction:
        """Run every model on every view of one image."""
        logits, input_sizes = [], []
        for model in self.models:
            inputs, size = _inputs_of(model, self.images, index)
            for scale in self.scales:
                view = _rescaled(inputs, scale)
                for mirrored in (False, True)[:1 + self.flip]:
                    answer = model.infer_logits(view.flip(3) if mirrored else view)[0].float()
                    logits.append((answer.flip(2) if mirrored else answer).cpu().contiguous().numpy())
                    input_sizes.append((int(view.shape[2]), int(view.shape[3])))
        return CompactPrediction(logits, input_sizes, size)

    @torch.no_grad()
    def expand(self, compact: CompactPrediction) -> Tensor:
        """Mean probabilities: float32, (C, H, W) at native resolution, on the models' device."""
        model = self.models[0]
        device = next(model.parameters()).device
        total = None
        for logits, input_size in zip(compact.logits, compact.input_sizes):
            prob = model.expand_logits(torch.from_numpy(logits).to(device)[None], input_size, compact.size)[0]
            total = prob if total is None else total.add_(prob)
        return total if len(compact.logits) == 1 else total.div_(len(compact.logits))


def _rescaled(inputs: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return inputs
    height, width = (max(1, round(side * scale)) for side in inputs.shape[2:])
    return F.interpolate(inputs, size=(height, width), mode='bilinear', align_corners=False)
