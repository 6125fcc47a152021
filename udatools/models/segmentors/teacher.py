# SPDX-License-Identifier: Apache-2.0
"""A second copy of the segmentor that no optimiser touches.

With ``momentum=1`` it stays what the stage started from: the model of the round before, whose soft predictions LRENT
(Zou et al., ICCV 2019) needs, without storing a probability. With less it is a mean teacher (Tarvainen and Valpola,
NeurIPS 2017). Its weights are in the checkpoint, so a resumed stage goes on with the same teacher.
"""
import torch
import torch.nn as nn
from mmengine.dist import broadcast, get_world_size
from mmseg.models.utils import resize
from torch import Tensor

from udatools.registry import MODELS


class Teacher(nn.Module):
    """The teacher of a :class:`UDASegmentor`, always in evaluation mode.

    Args:
        segmentor (dict): config of the student's segmentor.
        momentum (float): share that stays at each update, in [0, 1]; 1 = frozen. While training is young the share is
            ``min(momentum, (k + 1) / (k + 10))`` at update ``k``, so that the first weights are soon forgotten.
        domain (str): whose images it predicts, ``'target'`` or ``'source'``: where the easy images of the target are the source.

    Raises:
        ValueError: for a momentum outside [0, 1], or another domain.
    """

    def __init__(self, segmentor: dict, *, momentum: float = 0.999, domain: str = 'target') -> None:
        super().__init__()
        if domain not in ('source', 'target'):
            raise ValueError(f"domain is {domain!r}; expected 'target' or 'source'")
        self.domain = domain
        if not 0 <= momentum <= 1:
            raise ValueError(f'momentum is {momentum}; expected a value in [0, 1], 1 for a frozen teacher')
        self.momentum = momentum
        self.segmentor = MODELS.build(segmentor).requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> 'Teacher':
        """Stays in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def copy_from(self, student: nn.Module) -> None:
        """Takes over all weights and buffers of the student's segmentor."""
        self.segmentor.load_state_dict(student.state_dict())

    @torch.no_grad()
    def update(self, student: nn.Module, iteration: int) -> None:
        """Moves towards the student; buffers (batch-norm statistics) are taken over as they are, those of rank 0.

        Args:
            student (nn.Module): the student's segmentor.
            iteration (int): 0-based training iteration.
        """
        if self.momentum == 1:
            return
        keep = min(self.momentum, (iteration + 1) / (iteration + 10))
        own, theirs = list(self.segmentor.parameters()), [parameter.detach() for parameter in student.parameters()]
        torch._foreach_lerp_(own, theirs, 1 - keep)
        for buffer, new in zip(self.segmentor.buffers(), student.buffers(), strict=True):
            buffer.copy_(new)
        self._synchronise_buffers()

    def _synchronise_buffers(self) -> None:
        """Rank 0's, in one message: a rank's own batch-norm statistics are in no checkpoint."""
        buffers = [buffer for buffer in self.segmentor.buffers() if buffer.is_floating_point()]
        if not buffers or get_world_size() == 1:
            return
        together = torch.cat([buffer.flatten() for buffer in buffers])
        broadcast(together, src=0)
        for buffer, new in zip(buffers, together.split([buffer.numel() for buffer in buffers])):
            buffer.copy_(new.view_as(buffer))

    @torch.no_grad()
    def predict_prob(self, inputs: Tensor) -> Tensor:
        """Probabilities of the main head.

        Args:
            inputs (Tensor): float, (B, 3, H, W), preprocessed.

        Returns:
            Tensor: float32, (B, C, H, W).
        """
        logits = self.segmentor.decode_head(self.segmentor.extract_feat(inputs))
        corners = self.segmentor.align_corners
        return resize(logits, size=inputs.shape[2:], mode='bilinear', align_corners=corners).float().softmax(1)
