# SPDX-License-Identifier: Apache-2.0
"""Builds the joint optimiser of a ``UDASegmentor`` from a config by part."""
import torch.nn as nn
from mmengine.model import is_model_wrapper
from mmengine.optim import build_optim_wrapper

from udatools.registry import OPTIM_WRAPPER_CONSTRUCTORS

from .joint_optim_wrapper import JointOptimWrapper


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class UDAOptimWrapperConstructor:
    """One optimiser wrapper for each of ``model.optimised_parts()``.

    Args:
        optim_wrapper_cfg (dict): an mmengine optim wrapper config by part: ``segmentor`` always; ``discriminator`` where
            an objective has one. Configs of parts that the model does not have are left unused, so that one schedule
            serves methods with and without discriminators.
        paramwise_cfg (None): mmengine passes it; belongs inside the parts.

    Raises:
        KeyError: when a part has no config.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: None = None) -> None:
        if paramwise_cfg is not None:
            raise ValueError('paramwise_cfg belongs inside a part: optim_wrapper=dict(segmentor=dict(paramwise_cfg=...))')
        self.cfgs = {name: cfg for name, cfg in optim_wrapper_cfg.items() if name != 'type'}

    def __call__(self, model: nn.Module) -> JointOptimWrapper:
        """The wrapper, the segmentor's first."""
        if is_model_wrapper(model):
            model = model.module
        parts = model.optimised_parts()
        if missing := parts.keys() - self.cfgs.keys():
            raise KeyError(f'optim_wrapper has no optimiser for {sorted(missing)}, it has {sorted(self.cfgs)}; '
                           f'add optim_wrapper=dict({sorted(missing)[0]}=dict(type=..., optimizer=...))')
        return JointOptimWrapper(**{name: build_optim_wrapper(part, dict(self.cfgs[name])) for name, part in parts.items()})
