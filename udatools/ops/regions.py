# SPDX-License-Identifier: Apache-2.0
"""Connected regions of masks and class maps, and pixels grouped by region."""
import cv2
import numpy as np


def label_components(mask: np.ndarray) -> np.ndarray:
    """8-connected components of a mask.

    Args:
        mask (np.ndarray): bool, (H, W).

    Returns:
        np.ndarray: int32, (H, W), 0 outside, components 1, 2, ...
    """
    _, component = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    return component


def component_sizes(component: np.ndarray) -> np.ndarray:
    """Pixels of the component that each pixel belongs to: int64, (H, W), 0 outside; input of :func:`label_components`."""
    sizes = np.bincount(component.ravel())
    sizes[0] = 0
    size_of: np.ndarray = sizes[component]
    return size_of


def class_components(class_hw: np.ndarray) -> np.ndarray:
    """Connected regions of one predicted class.

    Args:
        class_hw (np.ndarray): integer, (H, W).

    Returns:
        np.ndarray: int32, (H, W), regions 0, 1, ..., by class.
    """
    region: np.ndarray = np.full(class_hw.shape, -1, np.int32)
    count = 0
    for class_id in np.unique(class_hw):
        component = label_components(class_hw == class_id)
        inside = component > 0
        region[inside] = component[inside] + (count - 1)
        count += int(component.max())
    return region


def ego_component(class_hw: np.ndarray, class_id: int) -> np.ndarray:
    """The ego vehicle: the region of a class that touches the centre of the bottom row.

    Args:
        class_hw (np.ndarray): integer, (H, W), predicted classes.
        class_id (int): the class of the ego vehicle, such as car.

    Returns:
        np.ndarray: bool, (H, W), all False where another class is predicted there.
    """
    component = label_components(class_hw == class_id)
    width = class_hw.shape[1]
    at_centre = component[-1, [(width - 1) // 2, width // 2]]
    ego: np.ndarray = np.isin(component, at_centre[at_centre > 0])
    return ego


def components_of(flat_index: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """8-connected component of every pixel of a set.

    Args:
        flat_index (np.ndarray): int, (N,), distinct, ``y * W + x``.
        size (tuple[int, int]): (H, W).

    Returns:
        np.ndarray: int32, (N,), 1, 2, ...
    """
    mask: np.ndarray = np.zeros(size, bool)
    mask.ravel()[flat_index] = True
    region: np.ndarray = label_components(mask).ravel()[flat_index]
    return region


def members_of(region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number regions by their first pixel.

    Args:
        region (np.ndarray): integer, (N,), id of every pixel, pixels in (y, x) order.

    Returns:
        tuple[np.ndarray, np.ndarray]: int64, (N,), number of the region, 0..U-1; int64, (U,), its pixels.
    """
    _, first, inverse, count = np.unique(region, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    return rank[inverse.ravel()], count[order].astype(np.int64)


def unit_scores(score: np.ndarray, member: np.ndarray, pixels: np.ndarray, how: str) -> np.ndarray:
    """Score of every unit.

    Args:
        score (np.ndarray): float16, (N,), of the pixels in (y, x) order.
        member (np.ndarray): int64, (N,), as of :func:`members_of`.
        pixels (np.ndarray): int64, (U,).
        how (str): ``'mean'`` of its pixels, or that of its ``'first'`` pixel.

    Returns:
        np.ndarray: float16, (U,).
    """
    if how == 'first':
        return score[np.unique(member, return_index=True)[1]]
    return (np.bincount(member, weights=score, minlength=pixels.size) / pixels).astype(np.float16)
