# SPDX-License-Identifier: Apache-2.0
"""Questions about whole images: image tags, or one point of each class (WDA, Paul et al., ECCV 2020)."""
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from udatools.registry import SELECTORS

from ..image_questions import IMAGE_KINDS
from .base import Candidates, Selector, check_kind


@SELECTORS.register_module()
class ImageQuestionSelector(Selector):
    """Every image that was not asked before, all of them alike: a budget takes the images that a draw orders first.

    No model chooses anything here: which pixel answers is the annotator's choice.

    Args:
        kind (str): ``'tags'``: which classes are in the image; ``'class_points'``: that, and one pixel of each.

    Raises:
        ValueError: for another kind.
    """

    inputs = ('image', )

    def __init__(self, kind: str = 'class_points') -> None:
        self.kind = check_kind(kind, IMAGE_KINDS)

    def candidates(self, outputs: Mapping[str, Tensor], key: str, generator: np.random.Generator) -> Candidates:
        """The image, standing for itself at its first pixel, with a random score."""
        return Candidates(np.zeros(1, np.int32), generator.random(1).astype(np.float16))

    def settings(self) -> dict[str, Any]:
        """Type and kind."""
        return dict(type=type(self).__name__, kind=self.kind)
