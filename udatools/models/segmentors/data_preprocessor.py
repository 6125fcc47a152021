# SPDX-License-Identifier: Apache-2.0
"""The mmseg data preprocessor, for a batch of two domains as for a plain one."""
from collections.abc import Sequence
from typing import Any

from mmseg.models import SegDataPreProcessor

from udatools.registry import DOMAIN_TRANSFORMS, MODELS


@MODELS.register_module()
class UDADataPreprocessor(SegDataPreProcessor):
    """Normalises, pads and stacks each domain on its own.

    Takes the nested batch of a ``UDADataset`` (``inputs`` is a dict of domains) or the plain one of a validation set.

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
            return super().forward(data, training)
        images = self._transform(data['inputs']) if training else data['inputs']
        domains = {
            name: super(UDADataPreprocessor, self).forward(
                {'inputs': images[name], 'data_samples': data['data_samples'][name]}, training)
            for name in images
        }
        return {part: {name: domain[part] for name, domain in domains.items()} for part in ('inputs', 'data_samples')}

    def _transform(self, images: dict[str, Any]) -> dict[str, Any]:
        if not self.domain_transforms or not {'source', 'target'} <= images.keys():
            return images
        images = {name: [image.float() for image in self.cast_data(part)] for name, part in images.items()}
        for transform in self.domain_transforms:
            images = transform(images)
        return images
