# SPDX-License-Identifier: Apache-2.0
"""The mmseg data preprocessor, for a batch of two domains as for a plain one."""
from typing import Any

from mmseg.models import SegDataPreProcessor

from udatools.registry import MODELS


@MODELS.register_module()
class UDADataPreprocessor(SegDataPreProcessor):
    """Normalises, pads and stacks each domain on its own.

    Takes the nested batch of a ``UDADataset`` (``inputs`` is a dict of domains) or the plain one of a validation set.
    Arguments are those of ``SegDataPreProcessor``.
    """

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """See ``SegDataPreProcessor.forward``; nested in, nested out."""
        if not isinstance(data['inputs'], dict):
            return super().forward(data, training)
        domains = {
            name: super(UDADataPreprocessor, self).forward(
                {'inputs': data['inputs'][name], 'data_samples': data['data_samples'][name]}, training)
            for name in data['inputs']
        }
        return {part: {name: domain[part] for name, domain in domains.items()} for part in ('inputs', 'data_samples')}
