# SPDX-License-Identifier: Apache-2.0
"""What objectives are given: the inputs, labels and outputs of one forward pass a domain."""
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class DomainBatch:
    """One domain's share of a training batch, after the forward pass.

    Attributes:
        inputs (Tensor): float, (B, 3, H, W), preprocessed images.
        label (Tensor | None): int64, (B, H, W), train ids, 255 = ignore; None where the dataset has none.
        features (tuple[Tensor, ...]): backbone outputs, (B, C_i, h_i, w_i).
        logits (dict[str, Tensor]): float, (B, C, H, W) at input size, by head: ``main``, ``aux``, ``second``.
        teacher_prob (Tensor | None): float32, (B, C, H, W) at input size, probabilities of the teacher on the same inputs,
            without a gradient; None where the model has no teacher, and on the source.
        weight (Tensor | None): float32, (B, H, W), weight of each pixel's label; None = 1.
    """
    inputs: Tensor
    label: Tensor | None
    features: tuple[Tensor, ...]
    logits: dict[str, Tensor] = field(default_factory=dict)
    teacher_prob: Tensor | None = None
    weight: Tensor | None = None


@dataclass
class UDABatch:
    """Source and target, and what a mixing made of them; a stage without one of them has None there."""
    source: DomainBatch | None = None
    target: DomainBatch | None = None
    mixed: DomainBatch | None = None

    def domain(self, name: str, needed_by: str) -> DomainBatch:
        """The named domain.

        Raises:
            ValueError: when the training set does not hold it.
        """
        batch = {'source': self.source, 'target': self.target, 'mixed': self.mixed}.get(name)
        if batch is None:
            raise ValueError(f"{needed_by} needs the domain '{name}', but there is none; "
                             f"add {'a `mixing`' if name == 'mixed' else f'`{name}=...` to the UDADataset of this stage'} "
                             'or drop the objective')
        return batch
