# SPDX-License-Identifier: Apache-2.0
"""Colours of a clip: stock photometric transforms, with one draw for all frames or one for each."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.dataset import Compose

from udatools.datasets.transforms.clip_loading import ClipTransform
from udatools.registry import TRANSFORMS
from udatools.utils.rng import scoped_rng

_SEEDS = 2**31 - 1


@TRANSFORMS.register_module()
class ClipPhotometric(ClipTransform):
    """Runs transforms that change colours alone on every frame.

    With one draw a clip stays consistent in time: warping by flow still compares like with like. A draw for each frame is an
    augmentation against flicker. What transforms after this one draw does not depend on the choice.

    Args:
        transforms (Sequence[dict]): Configs of transforms of single images that leave every pixel in its place, such as
            ``dict(type='PhotoMetricDistortion')``. They see ``img`` alone.
        per_frame (bool): A draw of its own for each frame. Default: False.
        key_only (bool): The key frame changes, the references stay as they are. Default: False.

    Raises:
        ValueError: If there is no transform, or one of them changes the geometry.
    """

    def __init__(self, transforms: Sequence[dict], per_frame: bool = False, key_only: bool = False) -> None:
        if not transforms:
            raise ValueError("ClipPhotometric got no transforms; expected one or more, such as "
                             "dict(type='PhotoMetricDistortion')")
        self.transforms = Compose(list(transforms))
        self.per_frame, self.key_only = per_frame, key_only

    def transform_clip(self, results: dict) -> dict:
        """Changes ``img`` of every frame, or of the key frame."""
        seed = int(np.random.randint(_SEEDS))  # scoped to the item, see udatools.utils.rng
        for number, image in enumerate(results['images'][:1] if self.key_only else results['images']):
            shape = image['img'].shape
            with scoped_rng(seed, 'photometric', number if self.per_frame else 0):
                changed = self.transforms(dict(img=image['img'], img_shape=shape[:2]))
            if changed['img'].shape != shape or {'flip', 'scale_factor'} & changed.keys():
                raise ValueError(f'a transform in ClipPhotometric moves pixels ({shape} became {changed["img"].shape}); labels '
                                 'and flow would not fit any more: use ClipRandomResize, ClipRandomCrop and ClipRandomFlip '
                                 'beside it')
            image['img'] = changed['img']
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(transforms={self.transforms}, per_frame={self.per_frame}, key_only={self.key_only})'
