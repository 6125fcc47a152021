# SPDX-License-Identifier: Apache-2.0
"""Dense inverse search (Kroeger, Timofte, Dai, Van Gool, ECCV 2016) as OpenCV has it: no weights, fast on a CPU."""
import cv2
import numpy as np
import torch
from torch import Tensor

from udatools.registry import FLOW_ESTIMATORS

from .base import FlowEstimator

PRESETS = {
    'ultrafast': cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    'fast': cv2.DISOPTICAL_FLOW_PRESET_FAST,
    'medium': cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
MINIMUM_SIDE = 12  # of the longer side, OpenCV's


@FLOW_ESTIMATORS.register_module()
class DISFlow(FlowEstimator):
    """The default estimator, on grey values and on the CPU.

    Thread-safe and picklable: each pair has an OpenCV object of its own, and nothing is kept between calls. The result
    does not depend on the number of OpenCV's threads, nor on what shares the batch.

    Args:
        preset (str): ``'medium'``, ``'fast'`` or ``'ultrafast'``, OpenCV's. Default: ``'medium'``, the most accurate.

    Raises:
        ValueError: for another preset.
    """

    def __init__(self, preset: str = 'medium') -> None:
        if preset not in PRESETS:
            raise ValueError(f'preset is {preset!r}; expected one of {", ".join(PRESETS)}')
        self.preset = preset

    def estimate(self, image: Tensor, reference: Tensor) -> Tensor:
        """See the base class; an image needs a side of 12 pixels or more."""
        self.check_images(image, reference)
        if max(image.shape[2:]) < MINIMUM_SIDE:
            raise ValueError(f'got images of {image.shape[3]}x{image.shape[2]} pixels (width x height); DIS needs a side of '
                             f'{MINIMUM_SIDE} or more')
        flows = [self._pair(first, second) for first, second in zip(_grey(image), _grey(reference), strict=True)]
        return torch.from_numpy(np.stack(flows).transpose(0, 3, 1, 2).copy()).to(image.device)

    def _pair(self, image: np.ndarray, reference: np.ndarray) -> np.ndarray:
        return cv2.DISOpticalFlow.create(PRESETS[self.preset]).calc(image, reference, None)


def _grey(images: Tensor) -> list[np.ndarray]:
    """uint8, (H, W), of each of (B, 3, H, W)."""
    return [cv2.cvtColor(np.ascontiguousarray(one), cv2.COLOR_RGB2GRAY) for one in images.cpu().numpy().transpose(0, 2, 3, 1)]
