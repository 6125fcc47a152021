# SPDX-License-Identifier: Apache-2.0
"""Pure functions that turn images, label maps and request masks into pictures.

Colour images are uint8 RGB ``(H, W, 3)``, label maps are uint8 ``(H, W)`` with train ids and 255 = ignore or not
labelled. Nothing here reads a file. Sparse labels survive every change of size: a shrunk map keeps each labelled
pixel that fell between the sampled ones, and single pixels can be thickened to be seen.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]

IGNORE = 255
IGNORE_COLOUR = (0, 0, 0)
ASKED_COLOUR = (255, 214, 10)


def colourise(
    label: npt.NDArray, palette: Sequence[Sequence[int]], ignore_colour: Sequence[int] = IGNORE_COLOUR
) -> UInt8:
    """Paint a label map with its palette.

    Args:
        label (ndarray): integer, (H, W), train ids 0..C-1; every other value counts as ignore.
        palette (Sequence[Sequence[int]]): C RGB colours, each number in 0..255.
        ignore_colour (Sequence[int]): RGB colour of ignored pixels.

    Returns:
        ndarray: uint8, (H, W, 3), RGB.

    Raises:
        ValueError: ``label`` is not two-dimensional.

    Example:
        >>> colourise(np.array([[0, 255]]), [[10, 20, 30]]).tolist()
        [[[10, 20, 30], [0, 0, 0]]]
    """
    if label.ndim != 2:
        raise ValueError(f'label has shape {label.shape}, expected (H, W)')
    table = np.full((len(palette) + 1, 3), ignore_colour, np.uint8)
    table[:-1] = np.asarray(palette, np.uint8).reshape(-1, 3)
    index = label.astype(np.int64)
    return table[np.where((index >= 0) & (index < len(palette)), index, len(palette))]


def overlay(image: UInt8, label: npt.NDArray, palette: Sequence[Sequence[int]], alpha: float = 0.6) -> UInt8:
    """Blend a coloured label map into an image; ignored pixels show the image alone.

    Args:
        image (ndarray): uint8, (H, W, 3), RGB.
        label (ndarray): integer, (H, W), train ids; others are ignored.
        palette (Sequence[Sequence[int]]): C RGB colours.
        alpha (float): weight of the label colour, in [0, 1].

    Returns:
        ndarray: uint8, (H, W, 3), RGB, ``round((1 - alpha) * image + alpha * colour)`` where labelled.

    Raises:
        ValueError: the sizes differ.
    """
    if image.shape[:2] != label.shape:
        raise ValueError(f'image is {image.shape[:2]} and label {label.shape} (height, width); they must be equal')
    known = (label >= 0) & (label < len(palette))
    blend = (1 - alpha) * image.astype(np.float64) + alpha * colourise(label, palette)
    return np.where(known[..., None], np.rint(blend), image).astype(np.uint8)


def dim(image: UInt8, brightness: float = 0.45) -> UInt8:
    """Return the image in grey and darker, as a background for sparse colour; uint8, (H, W, 3)."""
    grey = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return np.repeat(np.rint(grey * brightness)[..., None], 3, axis=2).astype(np.uint8)


def fade(image: UInt8, strength: float = 0.3) -> UInt8:
    """Return the image in grey and pale, as a background on which dark class colours show; uint8, (H, W, 3)."""
    grey = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return np.repeat(np.rint(strength * grey + (1 - strength) * 250)[..., None], 3, axis=2).astype(np.uint8)


def thicken(label: npt.NDArray, radius_px: int, empty: int = IGNORE) -> npt.NDArray:
    """Grow the labelled pixels of a sparse map into squares, so that single ones can be seen.

    Args:
        label (ndarray): integer, (H, W).
        radius_px (int): squares of ``2 * radius_px + 1`` pixels; 0 changes nothing.
        empty (int): the value of pixels without a label. A labelled pixel always keeps its own value.

    Returns:
        ndarray: same shape and dtype. Where squares meet, the one whose centre comes first in the scan of offsets wins.
    """
    grown = label.copy()
    height, width = label.shape
    offsets = [(dy, dx) for dy in range(-radius_px, radius_px + 1) for dx in range(-radius_px, radius_px + 1)]
    for dy, dx in sorted(offsets, key=lambda offset: offset[0] ** 2 + offset[1] ** 2):
        rows = slice(max(dy, 0), height + min(dy, 0)), slice(max(-dy, 0), height + min(-dy, 0))
        cols = slice(max(dx, 0), width + min(dx, 0)), slice(max(-dx, 0), width + min(-dx, 0))
        source, view = label[rows[1], cols[1]], grown[rows[0], cols[0]]
        take = (view == empty) & (source != empty)
        view[take] = source[take]
    return grown


def resize_label(label: npt.NDArray, size: tuple[int, int], empty: int = IGNORE) -> npt.NDArray:
    """Resize a label map and lose no labelled pixel of a sparse one.

    Args:
        label (ndarray): integer, (H, W).
        size (tuple[int, int]): height and width of the result.
        empty (int): the value of pixels without a label.

    Returns:
        ndarray: same dtype, ``size``: nearest, then each labelled pixel is put to the pixel its centre maps to if that
        one is empty.
    """
    height, width = size
    rows = np.minimum(((np.arange(height) + 0.5) * label.shape[0] / height).astype(np.int64), label.shape[0] - 1)
    cols = np.minimum(((np.arange(width) + 0.5) * label.shape[1] / width).astype(np.int64), label.shape[1] - 1)
    resized = label[rows][:, cols]
    y, x = np.nonzero(label != empty)
    to_y = ((y + 0.5) * height / label.shape[0]).astype(np.int64)
    to_x = ((x + 0.5) * width / label.shape[1]).astype(np.int64)
    lost = resized[to_y, to_x] == empty
    resized[to_y[lost], to_x[lost]] = label[y[lost], x[lost]]
    return resized


def panel_size(height: int, width: int, target_width: int = 480) -> tuple[int, int]:
    """Return (height, width) of a panel: small images by a whole factor up, large ones down to ``target_width``."""
    if width <= target_width:
        factor = max(1, round(target_width / width))
        return height * factor, width * factor
    return max(1, round(height * target_width / width)), target_width


def resize_image(image: UInt8, size: tuple[int, int]) -> UInt8:
    """Resize a colour image to (height, width): area when it shrinks, cubic when it grows."""
    if image.shape[:2] == size:
        return image
    method = cv2.INTER_AREA if size[1] < image.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=method), np.uint8)


def panel_cells(
    palette: Sequence[Sequence[int]],
    image: UInt8 | None = None,
    prediction: npt.NDArray | None = None,
    mask: npt.NDArray | None = None,
    answer: npt.NDArray | None = None,
    target_width: int = 480,
) -> dict[str, UInt8]:
    """Make the pictures of one image that the report shows side by side.

    Args:
        palette (Sequence[Sequence[int]]): C RGB colours.
        image (ndarray | None): uint8, (H, W, 3), RGB.
        prediction (ndarray | None): integer, (H, W), predicted train ids.
        mask (ndarray | None): integer, (H, W), 0 = not asked, else the region.
        answer (ndarray | None): uint8, (H, W), answered train ids, 255 = not answered.
        target_width (int): about the width of a picture, in pixels.

    Returns:
        dict[str, ndarray]: ``image``, ``prediction``, ``mask``, ``answer``, each uint8 RGB of one size; those given.
    """
    given = [array for array in (image, prediction, mask, answer) if array is not None]
    if not given:
        return {}
    height, width = given[0].shape[:2]
    size = panel_size(height, width, target_width)
    # A pixel of a label should cover about three pixels of the picture.
    radius = 0 if size[1] >= 3 * width else 1
    back = dim(resize_image(image, size)) if image is not None else np.full((*size, 3), 40, np.uint8)
    cells: dict[str, UInt8] = {}
    if image is not None:
        cells['image'] = resize_image(image, size)
    if prediction is not None:
        cells['prediction'] = colourise(resize_label(prediction, size), palette)
    if mask is not None:
        asked = thicken(resize_label((mask > 0).astype(np.uint8), size, empty=0), radius, empty=0)
        cells['mask'] = np.where(asked[..., None] > 0, np.array(ASKED_COLOUR, np.uint8), back)
    if answer is not None:
        answered = thicken(resize_label(answer, size), radius)
        cells['answer'] = overlay(
            fade(resize_image(image, size)) if image is not None else back, answered, palette, alpha=1.0
        )
    return cells


def hstack(images: Sequence[UInt8], gap_px: int = 8, background: int = 255) -> UInt8:
    """Put RGB images of one height side by side, ``gap_px`` apart."""
    gap = np.full((images[0].shape[0], gap_px, 3), background, np.uint8)
    parts = [part for image in images for part in (gap, image)][1:]
    return np.concatenate(parts, axis=1)


def vstack(images: Sequence[UInt8], gap_px: int = 8, background: int = 255) -> UInt8:
    """Put RGB images below each other, ``gap_px`` apart; narrower ones are filled up on the right."""
    width = max(image.shape[1] for image in images)
    rows: list[UInt8] = []
    for image in images:
        if rows:
            rows.append(np.full((gap_px, width, 3), background, np.uint8))
        rows.append(np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0)), constant_values=background))
    return np.concatenate(rows, axis=0)


def encode_png(image: UInt8) -> bytes:
    """Encode an RGB image as PNG; the same image gives the same bytes."""
    ok, data = cv2.imencode('.png', np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 4])
    if not ok:
        raise ValueError(
            f'an image of shape {image.shape} and dtype {image.dtype} cannot be encoded as PNG; expected uint8 '
            f'(H, W, 3)'
        )
    return data.tobytes()


def panel_row(
    palette: Sequence[Sequence[int]], arrays: Mapping[str, npt.NDArray | None], target_width: int = 480
) -> bytes:
    """Return the PNG of one row of panels; ``arrays`` are the keyword arguments of :func:`panel_cells`."""
    return encode_png(hstack(list(panel_cells(palette, target_width=target_width, **arrays).values())))
