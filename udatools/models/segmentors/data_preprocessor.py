# SPDX-License-Identifier: Apache-2.0
"""The mmseg data preprocessor, for a batch of two domains as for a plain one, and for clips as for images."""
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample

from udatools.registry import DOMAIN_TRANSFORMS, MODELS

from .batch import FLOW_FIELDS


@MODELS.register_module()
class UDADataPreprocessor(SegDataPreProcessor):
    """Normalises, pads and stacks each domain on its own.

    Takes the nested batch of a ``UDADataset`` (``inputs`` is a dict of domains) or the plain one of a validation set. Clips,
    items of shape (T, 3, H, W), become T images each, see :func:`split_clip`, before anything else is done; flow is padded with
    them. Domain transforms then see frames: where both domains have T, FDA gives frame t of a source clip the amplitudes of
    frame t of one target clip.

    Args:
        *args: as ``SegDataPreProcessor``.
        domain_transforms (Sequence[dict]): configs of ``DOMAIN_TRANSFORMS``, run in order on the raw images of a training
            batch that holds both domains, on the batch's device. A batch of one domain passes as it is, so one
            preprocessor serves the stages with and without a source.
        **kwargs: as ``SegDataPreProcessor``.
    """

    def __init__(self, *args, domain_transforms: Sequence[dict] = (), **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.domain_transforms = [DOMAIN_TRANSFORMS.build(cfg) for cfg in domain_transforms]

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """See ``SegDataPreProcessor.forward``; nested in, nested out."""
        if not isinstance(data['inputs'], dict):
            return self._stack(_flatten(data), training)
        flat = {name: _flatten({part: data[part][name] for part in ('inputs', 'data_samples')}) for name in data['inputs']}
        images = {name: part['inputs'] for name, part in flat.items()}
        images = self._transform(images) if training else images
        domains = {name: self._stack(dict(flat[name], inputs=images[name]), training) for name in images}
        return {part: {name: domain[part] for name, domain in domains.items()} for part in ('inputs', 'data_samples')}

    def _stack(self, data: dict[str, Any], training: bool) -> dict[str, Any]:
        """Images of one domain, as mmseg does; then their flows get the same size."""
        stacked = super().forward(data, training)
        height, width = stacked['inputs'].shape[2:]
        for sample in stacked.get('data_samples') or ():
            for name in FLOW_FIELDS:
                if name in sample:
                    field = sample.get(name)
                    below, right = height - field.data.shape[-2], width - field.data.shape[-1]
                    field.data = F.pad(field.data, (0, right, 0, below))  # zeros and False
        return stacked

    def _transform(self, images: dict[str, Any]) -> dict[str, Any]:
        if not self.domain_transforms or not {'source', 'target'} <= images.keys():
            return images
        images = {name: [image.float() for image in self.cast_data(part)] for name, part in images.items()}
        for transform in self.domain_transforms:
            images = transform(images)
        return images


def _flatten(data: dict[str, Any]) -> dict[str, Any]:
    """The batch with each clip as its frames; a batch of images as it is."""
    if data['inputs'][0].dim() != 4:
        return data
    frames = [frame for clip in data['inputs'] for frame in clip]
    if data.get('data_samples') is None:
        return dict(data, inputs=frames)
    return dict(data, inputs=frames, data_samples=[sample for clip in data['data_samples'] for sample in split_clip(clip)])


def split_clip(clip: SegDataSample) -> list[SegDataSample]:
    """Samples of the frames of a clip.

    Args:
        clip (SegDataSample): As ``PackClipInputs`` makes it, of T frames.

    Returns:
        list[SegDataSample]: T samples with ``key``, ``img_path``, ``clip``, ``frame``, what else the metainfo says of all
        frames, and ``gt_sem_seg`` int64 (1, H, W). The first one, of the key frame, also has ``clip_length``, ``frame_valid``
        (bool, (T,)) and the flows.
    """
    own = {'key': clip.frame_keys, 'img_path': clip.frame_paths, 'frame': clip.frames}
    lists = ('frame_keys', 'frame_paths', 'frames', 'frame_valid')
    shared = {name: value for name, value in clip.metainfo.items() if name not in lists}
    samples = []
    for number in range(len(clip.frames)):
        sample = SegDataSample(metainfo=shared | {name: values[number] for name, values in own.items()})
        if 'gt_sem_seg' in clip:
            sample.gt_sem_seg = PixelData(data=clip.gt_sem_seg.data[number:number + 1])
        samples.append(sample)
    samples[0].set_metainfo(dict(clip_length=len(samples)))
    flows = {name: clip.get(name) for name in FLOW_FIELDS if name in clip}
    samples[0].set_data(dict(frame_valid=torch.tensor(clip.frame_valid), **flows))  # data goes to the device, metainfo does not
    return samples
