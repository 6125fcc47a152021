# SPDX-License-Identifier: Apache-2.0
"""The picture of a clip comparison: input, predictions, flow and pseudo-labels of one frame in a grid, with a legend."""
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from . import panels
from .browse import draw_legend, text
from .flow_colours import colourise_flow
from .panels import UInt8

NO_LABEL_COLOUR = (205, 205, 205)
GAP_PX = 8
# Panels by number of columns, so that what belongs together is side by side or on top of each other.
LAYOUTS = {
    3: (('image', 'source', 'adapted'), ('flow', 'label', 'refined')),
    2: (('image', 'flow'), ('source', 'adapted'), ('label', 'refined')),
}


class ComparisonPicture:
    """Draws frames of one clip alike.

    Args:
        classes (Sequence[str]): names, in the order of train ids.
        palette (Sequence[Sequence[int]]): RGB, one a class.
        columns (int): 3 or 2.
        panel_width (int): of a panel, about, in pixels: small frames grow by a whole factor.
        largest_px (float): length of flow in full colour, > 0, the same for all frames.

    Raises:
        ValueError: for another number of columns, or panels too small for their titles.
    """

    def __init__(self, classes: Sequence[str], palette: Sequence[Sequence[int]], *, columns: int = 3, panel_width: int = 480,
                 largest_px: float = 8.0) -> None:
        if columns not in LAYOUTS or panel_width < 160:
            raise ValueError(f'got columns={columns} and panel_width={panel_width}; expected columns of {list(LAYOUTS)}, and at '
                             'least 160 pixels')
        self.names, self.colours = [*classes, 'no label'], [*palette, NO_LABEL_COLOUR]
        self.palette, self.layout, self.panel_width, self.largest_px = list(palette), LAYOUTS[columns], panel_width, largest_px

    def draw(self, image: UInt8, *, source: npt.NDArray, adapted: npt.NDArray, flow: npt.NDArray, known: npt.NDArray,
             label: npt.NDArray, refined: npt.NDArray) -> UInt8:
        """The picture of a frame.

        Args:
            image (ndarray): uint8, (H, W, 3), RGB.
            source (ndarray): integer, (H, W), train ids that the source-only network predicts.
            adapted (ndarray): the same of the adapted one.
            flow (ndarray): float, (2, H, W), pixels, to the frame before.
            known (ndarray): bool, (H, W), where it is known.
            label (ndarray): integer, (H, W), pseudo-label, 255 = none.
            refined (ndarray): the same after refinement.

        Returns:
            ndarray: uint8, (h, w, 3), RGB, h and w even and the same for all frames of a clip.
        """
        content = {
            'image': ('Input', image),
            'source': ('Source only', self._colours(source)),
            'adapted': ('Adapted', self._colours(adapted)),
            'flow': ('Flow to the frame before', colourise_flow(flow, known, self.largest_px)),
            'label': (f'Pseudo-label: {_percent(label)}', self._colours(label)),
            'refined': (f'Refined: {_percent(refined)}', self._colours(refined)),
        }
        size = panels.panel_size(image.shape[0], image.shape[1], self.panel_width)
        scale = size[1] / 240  # letters of a title are about a twentieth of the panel
        rows = []
        for names in self.layout:
            titled = [text(_resized(shown, size, smooth=name == 'image'), title, scale=scale)
                      for name, (title, shown) in ((name, content[name]) for name in names)]
            rows.append(panels.hstack(titled, GAP_PX))
        legend = draw_legend(self.names, self.colours, rows[0].shape[1], scale=0.75 * scale)
        picture = panels.vstack([*rows, legend], GAP_PX)
        return np.pad(picture, ((0, picture.shape[0] % 2), (0, picture.shape[1] % 2), (0, 0)), constant_values=255)

    def _colours(self, label: npt.NDArray) -> UInt8:
        return panels.colourise(label, self.palette, NO_LABEL_COLOUR)


def _percent(label: npt.NDArray) -> str:
    return f'{100 * (label != panels.IGNORE).mean():.0f} %'


def _resized(image: UInt8, size: tuple[int, int], *, smooth: bool) -> UInt8:
    """Colours of classes are not mixed when they grow; when they shrink, the mixture says how much of each there is."""
    if smooth or size[1] < image.shape[1]:
        return panels.resize_image(image, size)
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_NEAREST), np.uint8)
