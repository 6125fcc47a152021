# SPDX-License-Identifier: Apache-2.0
"""Inference over a target training set, one image at a time at native resolution.

A batch of one on purpose: convolution algorithms may change in the last bits with the batch size, and labels and
selections must not depend on the number of ranks.
"""
from pathlib import Path

import torch
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmseg.structures import SegDataSample
from torch import Tensor

from udatools.registry import DATASETS, MODELS


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
        checkpoint (str | Path): file written by a stage.

    Raises:
        RuntimeError: when the checkpoint lacks parameters of the model.
    """
    cfg = dict(model, objectives=[], teacher=None)
    predictor = MODELS.build(cfg)
    state = torch.load(checkpoint, map_location='cpu', weights_only=False)['state_dict']
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
