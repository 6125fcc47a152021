# SPDX-License-Identifier: Apache-2.0
"""First and last transform of a clip pipeline: reading frames, labels and flow; packing them as tensors.

Between the two a clip is a dict with ``images`` (a list of T dicts with ``img``, ``gt_seg_map`` and what else a transform of
single images wants, the key frame first) and, where flow is read, ``flow`` float32 (T-1, 2, H, W) with ``flow_valid`` bool
(T-1, H, W), from the key frame to each reference, and ``back_flow``, ``back_flow_valid`` from each reference to the key frame.
"""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement, PixelData
from mmseg.structures import SegDataSample

from udatools.datasets.flow_io import read_flow
from udatools.datasets.taxonomies import IGNORE
from udatools.datasets.transforms.load_label import LoadDomainImage, LoadDomainLabel
from udatools.registry import TRANSFORMS

FLOWS = ('flow', 'back_flow')
FlowMap = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class ClipTransform(BaseTransform):
    """A transform of a whole clip: what it draws, it draws once."""

    def transform(self, results: dict) -> dict:
        """Transforms the clip.

        Raises:
            ValueError: If it is given a single image.
        """
        if 'images' not in results:
            raise ValueError(f'{type(self).__name__} got a single image, expected a clip; put it into the pipeline of a '
                             'ClipDataset, or use the transform of mmseg for images')
        return self.transform_clip(results)

    @abstractmethod
    def transform_clip(self, results: dict) -> dict:
        """Transforms the clip, see the module's description of ``results``."""

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


def map_flows(results: dict, function: FlowMap) -> None:
    """Puts every flow (R, 2, H, W) and its mask (R, H, W), forward and backward, through a function."""
    for name in FLOWS:
        if name in results:
            results[name], results[f'{name}_valid'] = function(results[name], results[f'{name}_valid'])


@TRANSFORMS.register_module()
class LoadClip(ClipTransform):
    """Reads the frames of a clip, their labels and flows; each file once.

    A frame that is not valid shows the key frame; all of its labels are 255, its flow is 0 and unknown. A reference that *is*
    the key frame (clamped to it) has the flow 0, known everywhere.

    Args:
        labels (bool): Whether frames get a ``gt_seg_map``, as of :class:`LoadDomainLabel`: ground truth, label PNGs of a
            ``label_dir``, or all 255. Default: True.
        size_mismatch (str): As of :class:`LoadDomainLabel`. Default: ``error``.

    Raises:
        FileNotFoundError: If an image, a label or a flow is missing.
        ValueError: If one is damaged, or the sizes of frames or flows differ.
    """

    def __init__(self, labels: bool = True, size_mismatch: str = 'error') -> None:
        self.labels = labels
        self.size_mismatch = size_mismatch
        self.load_image = LoadDomainImage()
        self.load_label = LoadDomainLabel(size_mismatch)

    def transform_clip(self, results: dict) -> dict:
        """Adds ``img`` and ``gt_seg_map`` to each of ``images``, and the flows."""
        images: list[dict] = []
        for info, valid in zip(results['images'], results['frame_valid'], strict=True):
            again = next((image for image in images if image['img_path'] == info['img_path']), None)
            if again is not None:
                frame = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in again.items()}
            else:
                frame = self.load_image(info)
                if self.labels:
                    frame = self.load_label(frame)
            if not valid and self.labels:
                frame['gt_seg_map'] = np.full_like(frame['gt_seg_map'], IGNORE)
            images.append(frame)
        _check_sizes([(image['img_path'], image['img'].shape[:2]) for image in images])
        results['images'] = images
        for name in FLOWS:
            if f'{name}_files' in results:
                flows = [self._flow(results, name, reference) for reference in range(1, len(images))]
                results[name] = np.stack([flow for flow, _ in flows])
                results[f'{name}_valid'] = np.stack([known for _, known in flows])
        return results

    def _flow(self, results: dict, name: str, reference: int) -> tuple[np.ndarray, np.ndarray]:
        """Flow (2, H, W) and mask (H, W) of one reference."""
        path, image = results[f'{name}_files'][reference - 1], results['images'][0]
        shape = image['img'].shape[:2]
        if path is None:
            return np.zeros((2, *shape), np.float32), np.full(shape, results['frame_valid'][reference])
        flow, known = read_flow(path)
        if known.shape != shape:
            raise ValueError(f'{_size(path, known.shape)}, but {_size(image["img_path"], shape)} (width x height); delete the '
                             'flow and compute it again from these images with tools/compute_flow.py')
        return flow, known

    def __repr__(self) -> str:
        return f'{type(self).__name__}(labels={self.labels}, size_mismatch={self.size_mismatch!r})'


def _size(path: str, shape: Sequence[int]) -> str:
    return f'{path} is {shape[1]}x{shape[0]}'


def _check_sizes(frames: list[tuple[str, tuple[int, int]]]) -> None:
    first, others = frames[0], frames[1:]
    different = next((frame for frame in others if frame[1] != first[1]), None)
    if different is not None:
        raise ValueError(f'the frames of a clip differ in size: {_size(*first)}, {_size(*different)} (width x height); bring '
                         'them to one size, or give them different clips')


@TRANSFORMS.register_module()
class PackClipInputs(ClipTransform):
    """Makes the item of a clip; key frame first, then the references in the order of ``frame_offsets``.

    ``inputs``: uint8, (T, 3, H, W). ``data_samples``: a ``SegDataSample`` with ``gt_sem_seg.data`` int64 (T, H, W) where labels
    were loaded; where flow was, ``flow.data`` float32 (T-1, 2, H, W) and ``flow_valid.data`` bool (T-1, H, W), likewise
    ``back_flow`` and ``back_flow_valid``; metainfo ``frame_keys``, ``frame_paths``, ``frames`` (numbers) and ``frame_valid``
    (lists of T), ``clip``, and ``meta_keys``. (A metainfo called ``keys`` would hide the method of that name.)

    Args:
        meta_keys (Sequence[str]): What else goes into the metainfo if the key frame has it; what identifies a single frame
            (``img_path``, ``key``, ``frame``) is in the lists and is left out here.
    """

    def __init__(self, meta_keys: Sequence[str] = ('ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')) -> None:
        self.meta_keys = tuple(name for name in meta_keys if name not in ('img_path', 'key', 'frame'))

    def transform_clip(self, results: dict) -> dict:
        """Returns ``inputs`` and ``data_samples``."""
        images = results['images']
        sample = SegDataSample(metainfo={name: images[0][name] for name in self.meta_keys if name in images[0]})
        sample.set_metainfo({name: results[name] for name in ('frame_keys', 'clip', 'frames', 'frame_valid')})
        sample.set_metainfo(dict(frame_paths=[image['img_path'] for image in images]))
        if 'gt_seg_map' in images[0]:
            label = np.stack([image['gt_seg_map'] for image in images]).astype(np.int64)
            sample.gt_sem_seg = PixelData(data=torch.from_numpy(label))
        for name in FLOWS:
            if name in results:  # no PixelData: it refuses four dimensions
                arrays = {name: results[name].astype(np.float32), f'{name}_valid': results[f'{name}_valid']}
                sample.set_data({field: BaseDataElement(data=torch.from_numpy(np.ascontiguousarray(array)))
                                 for field, array in arrays.items()})
        pixels = np.stack([image['img'] for image in images]).transpose(0, 3, 1, 2)
        return dict(inputs=torch.from_numpy(np.ascontiguousarray(pixels)), data_samples=sample)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(meta_keys={self.meta_keys})'
