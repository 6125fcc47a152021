# SPDX-License-Identifier: Apache-2.0
"""What a round of active labelling is asked about, and with what."""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from .budget import Budget


@dataclass(frozen=True)
class TargetSet:
    """The target training images as the selection knows them.

    Attributes:
        keys (Sequence[str]): identities in data-set order.
        image_paths (Sequence[str]): image files, same order.
        classes (Sequence[str]): class names.
        palette (Sequence[Sequence[int]]): RGB colours of the classes.
        fingerprint (str): hash of what the set holds.
        ignore_index (int): value of unlabelled pixels in label PNGs.
    """
    keys: Sequence[str]
    image_paths: Sequence[str]
    classes: Sequence[str]
    palette: Sequence[Sequence[int]]
    fingerprint: str
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if len(self.keys) == 0:
            raise ValueError('the target set is empty: there is no image to ask about; check data_root and split')
        if len(set(self.keys)) != len(self.keys) or len(self.keys) != len(self.image_paths):
            raise ValueError(f'{len(self.keys)} keys ({len(set(self.keys))} distinct) for {len(self.image_paths)} '
                             'image files; expected one distinct key an image')


@dataclass(frozen=True)
class RoundPlan:
    """What identifies a round.

    Attributes:
        round (int): from 1.
        num_rounds (int): rounds of the campaign.
        run (str): name of the run, for people; it decides nothing.
        seed (int): seed of selectors that draw.
        weights (Mapping[str, str]): hashes of the weights that select, by model.
        budget (Budget | None): None asks for all candidates.
        inference (str): what else the probabilities depend on, such as the inference pipeline.
        panels (int): images whose prediction is kept for the report.
    """
    round: int = 1
    num_rounds: int = 1
    run: str = ''
    seed: int = 0
    weights: Mapping[str, str] = field(default_factory=dict)
    budget: Budget | None = None
    inference: str = ''
    panels: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.round <= self.num_rounds:
            raise ValueError(f'round {self.round} of {self.num_rounds}; expected 1 <= round <= num_rounds')


Predict = Callable[[int, Sequence[str]], Mapping[str, Tensor]]
