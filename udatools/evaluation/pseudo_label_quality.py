# SPDX-License-Identifier: Apache-2.0
"""P-mIoU: how right pseudo-labels are on the pixels that they keep (video adaptation paper, appendix C, Table 7).

It reads ground truth of the target and is for evaluation only: a run that tunes anything by it is no longer unsupervised.
Keeping fewer pixels makes the rest more right, so methods are compared at the same proportion.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from udatools.datasets.domain_dataset import DomainDataset
from udatools.datasets.taxonomies import IGNORE, ClassSpec, identity_lut
from udatools.datasets.transforms.load_label import read_mapped_label
from udatools.evaluation.iou import apply_protocol, confusion_matrix, summarise
from udatools.evaluation.protocols import get_protocol
from udatools.registry import DATASETS


class PseudoLabelConfusion(NamedTuple):
    """Pseudo-labels against ground truth: ``matrix`` int64 (C, C) over the pixels that have both labels, rows are ground truth;
    ``kept`` of all ``pixels`` of ``images`` have a pseudo-label."""
    matrix: torch.Tensor
    kept: int
    pixels: int
    images: int


def labelled_part(dataset: dict[str, Any], keys: Sequence[str]) -> Any:
    """The images among ``keys`` that have ground truth, as a data set.

    Args:
        dataset (dict): config of a ``DomainDataset``, such as the one whose images were pseudo-labelled.
        keys (Sequence[str]): of the pseudo-labelled images.

    Raises:
        ValueError: if there is none.
    """
    settings = dict(dataset, labelled=True, label_dir=None, max_items=None, portion=None, indices=None, pipeline=[])
    wanted = set(keys)
    indices = [i for i, key in enumerate(DATASETS.build(dict(settings)).keys) if key in wanted]
    if not indices:
        raise ValueError(f'none of the {len(keys)} images has ground truth to score labels with; give a training set of which at '
                         'least some frames are labelled')
    return DATASETS.build(dict(settings, indices=indices))


def pseudo_label_confusion(label_dir: str | Path, dataset: DomainDataset) -> PseudoLabelConfusion:
    """Counts a folder of pseudo-labels against ground truth, image by image.

    Args:
        label_dir (str | Path): ``<label_dir>/<key>.png``, train ids of the data set's classes, 255 = not kept.
        dataset (DomainDataset): The same images with ``labelled=True``. Sparsely labelled clips: the labelled frames only.

    Raises:
        FileNotFoundError: If pseudo-labels are missing.
        PermissionError: If the data set is not labelled.
        ValueError: If sizes differ or ids are unknown.
    """
    classes = dataset.class_set.classes
    paths = {key: Path(label_dir) / f'{key}.png' for key in dataset.keys}
    missing = [key for key, path in paths.items() if not path.is_file()]
    if missing:
        raise FileNotFoundError(f'{label_dir} has no pseudo-label for {len(missing)} of {len(paths)} images, the first is '
                                f'{missing[0]}; generate them for this set, or give the labels/ folder of the right round')
    matrix = torch.zeros(len(classes), len(classes), dtype=torch.int64)
    kept = pixels = 0
    for key, path in paths.items():
        label, truth = read_mapped_label(str(path), identity_lut(len(classes))), dataset.load_label(key)
        if label.shape != truth.shape:
            raise ValueError(f'{path} has shape {label.shape}, the ground truth of {key} {truth.shape}; pseudo-labels are scored '
                             'at native resolution')
        known = label != IGNORE
        kept, pixels = kept + int(known.sum()), pixels + label.size
        matrix += confusion_matrix(torch.from_numpy(label[known]), torch.from_numpy(truth[known]), len(classes), IGNORE)
    return PseudoLabelConfusion(matrix, kept, pixels, len(paths))


def pseudo_label_quality(label_dir: str | Path, dataset: DomainDataset, protocol: ClassSpec | None = None) -> dict[str, float]:
    """Scores a folder of pseudo-labels against ground truth.

    Args:
        label_dir (str | Path): As of :func:`pseudo_label_confusion`.
        dataset (DomainDataset): As there.
        protocol (str | Mapping, optional): As :func:`get_protocol`. By default the classes of the data set.

    Returns:
        dict[str, float]: ``P-mIoU`` and ``P-IoU/<class>`` in percent over the pixels that have both labels, nan for classes
            that do not occur there; ``proportion`` in [0, 1] of all pixels that are kept; ``images``.

    Raises:
        FileNotFoundError: If pseudo-labels are missing.
        PermissionError: If the data set is not labelled.
        ValueError: If sizes differ, ids are unknown, or the protocol does not fit.
    """
    used = get_protocol(dataset.class_set if protocol is None else protocol)
    assignment = used.assignment(dataset.class_set.classes)
    counted = pseudo_label_confusion(label_dir, dataset)
    found = summarise(apply_protocol(counted.matrix, assignment, len(used.classes)), used.classes)
    result = {'P-mIoU': found['mIoU'], 'proportion': counted.kept / counted.pixels, 'images': float(counted.images)}
    return result | {f'P-IoU/{name}': found[f'IoU/{name}'] for name in used.classes}


def format_quality(result: dict[str, float], title: str) -> str:
    """Formats the result of :func:`pseudo_label_quality` as a plain text table."""
    names = [key.partition('/')[2] for key in result if key.startswith('P-IoU/')]
    width = max(len(name) for name in (*names, 'class'))
    lines = [title, f'{"class":<{width}}   P-IoU']
    lines += [f'{name:<{width}}  {result[f"P-IoU/{name}"]:6.2f}' for name in names]
    lines.append(f'{"mean":<{width}}  {result["P-mIoU"]:6.2f}   at proportion {result["proportion"]:.3f}, '
                 f'{result["images"]:.0f} images')
    return '\n'.join(lines)
