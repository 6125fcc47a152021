# SPDX-License-Identifier: Apache-2.0
"""Flow that lies in files already, of ``tools/compute_flow.py`` or of another tool."""
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from udatools.datasets.flow_io import flow_path, read_flow
from udatools.registry import FLOW_ESTIMATORS

from .base import FlowEstimator


@FLOW_ESTIMATORS.register_module()
class PrecomputedFlow(FlowEstimator):
    """Reads flow by the names of the frames; images are looked at for their size only.

    Args:
        root (str | PathLike): folder of ``<offset:+d>/<key><suffix>``.
        suffix (str): ``.png`` (KITTI), ``.flo`` or ``.npz``. Default: ``.png``.
    """

    def __init__(self, root: str | os.PathLike[str], suffix: str = '.png') -> None:
        self.root, self.suffix = Path(root), suffix

    def estimate(self, image: Tensor, reference: Tensor) -> Tensor:
        """Images do not say which files belong to them.

        Raises:
            TypeError: always.
        """
        raise TypeError('PrecomputedFlow cannot tell from images which files hold their flow; call between(), which is given the '
                        'names of the frames, or use an estimator such as DISFlow')

    def between(self, image: Tensor, reference: Tensor, pairs: Sequence[tuple[str, int]]) -> tuple[Tensor, Tensor]:
        """See the base class; flow is 0 where the file does not know it.

        Raises:
            FileNotFoundError: when a file is missing.
            ValueError: when it is damaged, or of another size than the image.
        """
        self.check_images(image, reference)
        flows, known = [], []
        for key, offset in pairs:
            path = flow_path(self.root, key, offset, self.suffix)
            flow, valid = read_flow(path)
            if valid.shape != image.shape[2:]:
                raise ValueError(f'{path} is {valid.shape[1]}x{valid.shape[0]}, but the frame {image.shape[3]}x{image.shape[2]} '
                                 '(width x height); give flow of these very images')
            flows.append(torch.from_numpy(flow))
            known.append(torch.from_numpy(valid))
        return torch.stack(flows).to(image.device), torch.stack(known).to(image.device)
