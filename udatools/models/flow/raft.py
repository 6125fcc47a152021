# SPDX-License-Identifier: Apache-2.0
"""RAFT (Teed and Deng, ECCV 2020), torchvision's: the network that is used for flow where accuracy counts.

The video adaptation paper has FlowNet2, whose code needs operators of its own; RAFT is more accurate and maintained.
"""
from pathlib import Path

import torch
from mmengine.device import get_device
from torch import Tensor, nn
from torch.nn.functional import pad

from udatools.compat import CompatError, import_torchvision
from udatools.models.backbones.weights import WeightsUnavailableError, resolve_weights
from udatools.registry import FLOW_ESTIMATORS

from .base import FlowEstimator

VARIANTS = ('small', 'large')
STRIDE, MINIMUM_SIDE = 8, 128  # the coarsest of four levels of correlations has 2 x 2 cells or more


@FLOW_ESTIMATORS.register_module()
class RAFTFlow(FlowEstimator):
    """RAFT, on the GPU if there is one.

    Images whose sides are no multiples of 8, or below 128, are continued to the right and downwards by their last pixels;
    the flow is cut back.

    Args:
        variant (str): ``'small'`` (1 M parameters) or ``'large'`` (5.3 M). Default: ``'small'``.
        weights (str): path of a file of torchvision's RAFT, or ``'download'``: looked for in ``UDATOOLS_WEIGHTS`` and torch's
            cache, then fetched as backbone weights are.
        iterations (int): updates of the flow, 1 or more; more are slower and more accurate. Default: 12.
        device (str, optional): default: the accelerator, if there is one.

    Raises:
        ValueError: for another variant, less than one iteration, or no weights.
        CompatError: without torchvision.
        WeightsUnavailableError: when the weights are missing, cannot be fetched, or are of another network.
    """

    def __init__(self, variant: str = 'small', *, weights: str | None = None, iterations: int = 12,
                 device: str | None = None) -> None:
        if variant not in VARIANTS:
            raise ValueError(f'variant is {variant!r}; expected one of {", ".join(VARIANTS)}')
        if iterations < 1:
            raise ValueError(f'iterations is {iterations}; expected 1 or more')
        if not weights:
            raise ValueError("RAFT without weights estimates nothing: pass weights='download', or weights=PATH of torchvision's "
                             f'raft_{variant} (a .pth file); DISFlow needs none')
        self.variant, self.weights, self.iterations = variant, weights, int(iterations)
        self.device = torch.device(device or get_device())
        self.network = _load(variant, weights).to(self.device)

    @torch.no_grad()
    def estimate(self, image: Tensor, reference: Tensor) -> Tensor:
        """See the base class."""
        self.check_images(image, reference)
        height, width = image.shape[2:]
        right, below = (max(-(-side // STRIDE) * STRIDE, MINIMUM_SIDE) - side for side in (width, height))
        first, second = (pad(one.to(self.device).float() / 127.5 - 1, (0, right, 0, below), mode='replicate')
                         for one in (image, reference))
        with torch.autocast(self.device.type, enabled=False):
            flow = self.network(first, second, num_flow_updates=self.iterations)[-1]
        return flow[:, :, :height, :width].to(image.device, copy=True)


def _load(variant: str, weights: str) -> nn.Module:
    if import_torchvision() is None:
        raise CompatError('RAFT is part of torchvision, which is not installed: install the torchvision of your torch, or use '
                          'DISFlow, which needs none')
    from torchvision.models import optical_flow
    network = getattr(optical_flow, f'raft_{variant}')(weights=None, progress=False)
    path = _find(variant, weights)
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
        network.load_state_dict(state)
    except Exception as error:  # torch raises whatever its readers raise
        reason = f'{type(error).__name__}: {(str(error).strip() or "no reason given").splitlines()[0][:200]}'
        raise WeightsUnavailableError(f'{path} does not hold the weights of torchvision\'s raft_{variant} ({reason}); give the '
                                      'file of this variant') from error
    return network.eval().requires_grad_(False)


def _find(variant: str, weights: str) -> Path:
    if weights != 'download':
        path = Path(weights).expanduser()
        if not path.is_file():
            raise WeightsUnavailableError(f'weights of RAFT: {path} does not exist; give the file of torchvision\'s '
                                          f"raft_{variant}, or 'download'")
        return path
    try:
        return resolve_weights(f'torchvision://raft_{variant}')
    except WeightsUnavailableError as error:
        reason = f' ({error.__cause__})' if error.__cause__ is not None else ''
        raise WeightsUnavailableError(f'weights of RAFT ({variant}) are not on this machine and could not be fetched{reason}; '
                                      "get torchvision's file elsewhere and pass weights=PATH, or put it into a folder and set "
                                      'UDATOOLS_WEIGHTS to it; DISFlow needs no weights') from error
