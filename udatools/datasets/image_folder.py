# SPDX-License-Identifier: Apache-2.0
"""Any folder of images as a domain: the usual target of somebody with cameras and no labels."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from udatools.datasets.domain_dataset import DomainDataset
from udatools.datasets.taxonomies import get_label_lut, identity_lut
from udatools.registry import DATASETS


@DATASETS.register_module()
class ImageFolderDomain(DomainDataset):
    """Every image under ``data_root``, recursively; labels only if ``label_root`` is given.

    Args:
        data_root (str | PathLike): Folder of images.
        label_root (str | PathLike, optional): Folder of label PNGs in train ids of ``classes`` (255 = ignore), or in the
            raw ids of ``label_map``, at ``<label_root>/<key>.png``. Must lie outside of ``data_root``, or label PNGs would
            be listed as images.
        labelled (bool, optional): Whether to read them. Default: True exactly if ``label_root`` is given.
        **kwargs: As :class:`DomainDataset`; ``split`` is a name for humans here, no folder.

    Raises:
        ValueError: If ``labelled=True`` without ``label_root``, or ``label_root`` lies inside ``data_root``.
    """

    LAYOUT = """
<data_root>/**/<any name>.(png|jpg|jpeg|bmp|tif|tiff|webp)
<label_root>/**/<same name>.png   (optional: train ids, 255 = ignore; or the raw ids of label_map)
"""

    def __init__(self,
                 data_root: str | os.PathLike[str],
                 *,
                 label_root: str | os.PathLike[str] | None = None,
                 labelled: bool | None = None,
                 **kwargs: Any) -> None:
        labelled = label_root is not None if labelled is None else labelled
        if labelled and label_root is None:
            raise ValueError('ImageFolderDomain got labelled=True without label_root; give the folder of label PNGs, '
                             'or set labelled=False')
        # Only a labelled set looks at where labels are; the string is not even kept otherwise.
        self.label_root = Path(label_root) if labelled and label_root is not None else None
        if self.label_root is not None:
            images = Path(os.path.abspath(data_root))
            labels = Path(os.path.abspath(self.label_root))
            if labels == images or images in labels.parents:
                raise ValueError(f'label_root {labels} lies inside data_root {images}: its label PNGs would be listed '
                                 'as images; move it outside')
        super().__init__(data_root, labelled=labelled, **kwargs)

    def image_root(self) -> Path:
        """Returns ``data_root``."""
        return Path(self.data_root)

    def label_file(self, key: str) -> Path:
        """Returns ``<label_root>/<key>.png``."""
        assert self.label_root is not None
        return self.label_root / f'{key}.png'

    def label_lut(self, label_path: str) -> np.ndarray:
        """Labels are train ids already, unless there is a ``label_map``: then an id that it does not list is an error."""
        if self.own_label_map is None:
            return identity_lut(len(self.class_set))
        return get_label_lut('', self.class_set, self.own_label_map)

    def _check_label_map(self) -> None:
        """Train ids need no map."""
