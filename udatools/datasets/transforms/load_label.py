# SPDX-License-Identifier: Apache-2.0
"""Loading images and labels of a domain, with errors that name the file.

Labels come from one of two places: ground truth in the raw ids of its data set, mapped by a table, or label PNGs in
train ids (pseudo-labels, answers of the ledger) that are looked for on disk *when the item is loaded*, so that
persistent loader workers see the labels of a new round.
"""
from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from udatools.datasets.taxonomies import IGNORE, identity_lut
from udatools.registry import TRANSFORMS
from udatools.utils.png import image_shape, read_image, read_png


def read_raw_label(path: str, channel: int | None = None) -> np.ndarray:
    """Reads a label file without mapping it.

    Args:
        path (str): Label PNG, 8 or 16 bit.
        channel (int, optional): Channel that holds the ids (OpenCV order) if there are several.

    Returns:
        np.ndarray: uint8 or uint16, (H, W), raw ids.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is corrupt or has several channels and none is named.
    """
    raw = read_png(path)
    if raw.ndim == 3:
        if channel is None:
            raise ValueError(f'{path} has {raw.shape[2]} channels; expected one channel of label ids. It looks like a '
                             'colour picture: use the id or palette version of the labels')
        raw = raw[:, :, channel]
    return raw


def map_raw_label(raw: np.ndarray, lut: np.ndarray, path: str) -> np.ndarray:
    """Maps raw ids to train ids.

    Args:
        raw (np.ndarray): uint8 or uint16, (H, W), raw ids.
        lut (np.ndarray): int16, (256,), raw id -> train id, 255 = ignore, -1 = not defined.
        path (str): Their file, for errors.

    Returns:
        np.ndarray: uint8, (H, W), train ids, 255 = ignore.

    Raises:
        ValueError: If there are ids that the map does not define.
    """
    top = int(raw.max())
    if top >= len(lut):
        raise ValueError(f'{path} holds label id {top}, the label map ends at {len(lut) - 1}; is this the right kind '
                         'of label file (class ids, not instance ids)?')
    label = lut[raw]
    if label.min() < 0:
        unknown = np.unique(raw[label < 0]).tolist()
        raise ValueError(f'{path} holds label ids {unknown} that the label map does not define; check that data_root, '
                         '`classes` and the type of the data set belong together, or extend the map in taxonomies/')
    return label.astype(np.uint8)


def read_mapped_label(path: str, lut: np.ndarray, channel: int | None = None) -> np.ndarray:
    """Reads a label file and maps raw ids to train ids: :func:`read_raw_label`, then :func:`map_raw_label`."""
    return map_raw_label(read_raw_label(path, channel), lut, path)


def check_size_mismatch(transform: str, size_mismatch: str) -> str:
    """The choice of a transform, ``error`` or ``resize``; raises a ``ValueError`` for any other."""
    if size_mismatch not in ('error', 'resize'):
        raise ValueError(f'{transform} got size_mismatch={size_mismatch!r}; expected "error" or "resize"')
    return size_mismatch


@TRANSFORMS.register_module()
class LoadDomainImage(BaseTransform):
    """Reads ``img_path`` as uint8 BGR (H, W, 3); a truncated or corrupt file is an error that names it.

    The stock ``LoadImageFromFile`` decodes the top of a truncated file and leaves the rest grey. Where a data set has several
    translations of an image (``img_paths``), one is drawn, each as likely.

    Args:
        size_mismatch (str): What to do when a translation differs in size from its original, to which the label belongs:
            ``error`` (default), or ``resize`` it to the original's size, bilinearly.
    """

    def __init__(self, size_mismatch: str = 'error') -> None:
        self.size_mismatch = check_size_mismatch('LoadDomainImage', size_mismatch)

    def transform(self, results: dict) -> dict:
        """Adds ``img``, ``img_shape`` and ``ori_shape`` (height, width)."""
        if 'img_paths' in results:
            results['img_path'] = results['img_paths'][np.random.randint(len(results['img_paths']))]
        image = read_image(results['img_path'])
        if 'original_path' in results:
            image = self._fit(image, results['img_path'], results['original_path'])
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def _fit(self, image: np.ndarray, path: str, original: str) -> np.ndarray:
        """The translation at the size of its original, or an error."""
        shape = image_shape(original)
        if image.shape[:2] == shape:
            return image
        if self.size_mismatch == 'error':
            raise ValueError(f'the translation {path} is {image.shape[1]}x{image.shape[0]}, its original {original} '
                             f'{shape[1]}x{shape[0]} (width x height); translate at the size of the originals, or set '
                             'LoadDomainImage(size_mismatch="resize")')
        return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_LINEAR)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size_mismatch={self.size_mismatch!r})'


@TRANSFORMS.register_module()
class LoadDomainLabel(BaseTransform):
    """Adds ``gt_seg_map``: uint8 (H, W) train ids, 255 = ignore or not labelled, at native resolution.

    From ``<label_dir>/<key>.png`` if the data set has a ``label_dir`` (all 255 if there is none yet), from ground
    truth through the label map if the data set is labelled, else all 255: an unlabelled image.

    Args:
        size_mismatch (str): What to do when image and label differ in size: ``error`` (default), or ``resize``: warn,
            naming the file, and resize the label to the image by nearest neighbour (a few pairs of GTA5 need it).
    """

    def __init__(self, size_mismatch: str = 'error') -> None:
        self.size_mismatch = check_size_mismatch('LoadDomainLabel', size_mismatch)

    def transform(self, results: dict) -> dict:
        """Adds ``gt_seg_map`` and lists it in ``seg_fields``."""
        if results.get('flip'):
            raise ValueError('LoadDomainLabel comes after a flip: the label would not match; move it before RandomFlip')
        shape = tuple(results['ori_shape'][:2])
        if results.get('label_dir') is not None:
            path = str(Path(results['label_dir']) / f'{results["key"]}.png')
            try:
                label = read_mapped_label(path, identity_lut(results['num_classes']))
            except FileNotFoundError:
                label = None
        elif results.get('seg_map_path') is not None:
            path = results['seg_map_path']
            reader = results.get('label_reader')
            label = reader(path) if reader is not None else read_mapped_label(path, results['label_lut'],
                                                                              results.get('label_channel'))
        else:
            label = None
        if label is None:
            label = np.full(shape, IGNORE, dtype=np.uint8)
        elif label.shape != shape:
            label = self._reconcile(label, shape, path, results['img_path'])
        results['gt_seg_map'] = label
        results['seg_fields'] = [*results.get('seg_fields', []), 'gt_seg_map']
        return results

    def _reconcile(self, label: np.ndarray, shape: tuple[int, int], path: str, img_path: str) -> np.ndarray:
        """Raises, or resizes the label to the image."""
        sizes = (f'image {img_path} is {shape[1]}x{shape[0]}, its label {path} is '
                 f'{label.shape[1]}x{label.shape[0]} (width x height)')
        if self.size_mismatch == 'error':
            raise ValueError(f'{sizes}; regenerate the label, or set LoadDomainLabel(size_mismatch="resize") to train '
                             'on it anyway')
        print_log(f'{sizes}; the label is resized', logger='current', level=logging.WARNING)
        from udatools.datasets.transforms.sparse_safe_resize import resize_label
        return resize_label(label, shape)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size_mismatch={self.size_mismatch!r})'
