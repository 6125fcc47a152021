# SPDX-License-Identifier: Apache-2.0
"""Confusion matrices and IoU under a named protocol.

One int64 matrix over *all* classes of the model is accumulated on the device of the predictions and summed over ranks
once, so counts are exact for any world size. The protocol is applied to that matrix afterwards:

* merged classes add up;
* ground truth of classes that the protocol does not report is ignored (``outside='ignore'``, the convention of code
  that maps labels to the reported classes), or its pixels stay as chances for false positives (``outside='count'``,
  the convention of code that averages a subset of a full 19-class evaluation);
* predictions of classes that are not reported are misses of the true class: the model is not forbidden to answer them.

A class that occurs neither in the ground truth nor in the predictions has no IoU: it is ``nan`` and left out of means.
"""
from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from udatools.datasets.taxonomies import ClassSpec
from udatools.evaluation.protocols import get_protocol
from udatools.registry import METRICS


def confusion_matrix(pred: Tensor, label: Tensor, num_classes: int, ignore_index: int = 255) -> Tensor:
    """Counts how often each class is predicted as each class.

    Args:
        pred (Tensor): Integer, any shape, 0..C-1.
        label (Tensor): Integer, the same shape, 0..C-1 or ``ignore_index``.
        num_classes (int): C.
        ignore_index (int): Label that is not counted. Default: 255.

    Returns:
        Tensor: int64, (C, C), rows are labels, columns are predictions, on the device of ``pred``.

    Raises:
        ValueError: If shapes differ, or a value that counts is outside of 0..C-1.
    """
    if pred.shape != label.shape:
        raise ValueError(f'got predictions of shape {tuple(pred.shape)} and labels of shape {tuple(label.shape)}; '
                         'expected the same shape (are labels loaded after resizing, at native resolution?)')
    label = label.to(pred.device)
    valid = label != ignore_index
    pred, label = pred[valid].long(), label[valid].long()
    if pred.numel():
        for name, value in (('predictions', pred), ('labels', label)):
            low, high = int(value.min()), int(value.max())
            if low < 0 or high >= num_classes:
                raise ValueError(f'{name} reach from {low} to {high}; expected 0..{num_classes - 1} '
                                 f'(or {ignore_index} in labels)')
    count = torch.bincount(label * num_classes + pred, minlength=num_classes**2)
    return count.reshape(num_classes, num_classes)


def iou_from_confusion(conf: Tensor) -> Tensor:
    """Computes intersection over union: ``TP / (TP + FP + FN)`` for each class.

    Args:
        conf (Tensor): int64, (C, C + k), rows are labels; columns past C are predictions of classes not reported.

    Returns:
        Tensor: float64, (C,), in [0, 1], nan where a class is in neither labels nor predictions.
    """
    conf = conf.double()
    hit = conf.diagonal()
    union = conf.sum(1) + conf[:, :conf.shape[0]].sum(0) - hit
    return torch.where(union > 0, hit / union, torch.full_like(hit, math.nan))


def apply_protocol(conf: Tensor, assignment: Sequence[int], num_reported: int) -> Tensor:
    """Merges a confusion matrix over model classes into one over reported classes plus one for all others.

    Args:
        conf (Tensor): int64, (C, C).
        assignment (Sequence[int]): Length C, 0..P-1 the reported class, P not reported.
        num_reported (int): P.

    Returns:
        Tensor: int64, (P + 1, P + 1); last row: labels not reported, last column: predictions not reported.
    """
    index = torch.as_tensor(assignment, device=conf.device)
    rows = torch.zeros(num_reported + 1, conf.shape[1], dtype=conf.dtype, device=conf.device).index_add_(0, index, conf)
    return torch.zeros(num_reported + 1, num_reported + 1, dtype=conf.dtype,
                       device=conf.device).index_add_(1, index, rows)


def summarise(conf: Tensor, names: Sequence[str], outside: str = 'ignore') -> dict[str, float]:
    """Computes the metrics of a protocol in percent.

    Args:
        conf (Tensor): int64, (P + 1, P + 1), of :func:`apply_protocol`.
        names (Sequence[str]): The P reported classes.
        outside (str): ``ignore`` or ``count``: ground truth of classes that are not reported, see the module.

    Returns:
        dict[str, float]: ``mIoU``, ``mAcc``, ``aAcc``, then ``IoU/<class>`` and ``Acc/<class>``; 0..100, nan for
            classes that do not occur (they are left out of the means).
    """
    p = len(names)
    inside = conf[:p].double()
    hit, truth = inside[:, :p].diagonal(), inside.sum(1)
    predicted = (inside if outside == 'ignore' else conf.double())[:, :p].sum(0)
    union = truth + predicted - hit
    nan = torch.full_like(hit, math.nan)
    iou = torch.where(union > 0, hit / union, nan) * 100
    acc = torch.where(truth > 0, hit / truth, nan) * 100
    overall = float(hit.sum() / truth.sum()) * 100 if truth.sum() > 0 else math.nan
    result = {'mIoU': float(iou.nanmean()), 'mAcc': float(acc.nanmean()), 'aAcc': overall}
    result.update({f'IoU/{name}': float(value) for name, value in zip(names, iou)})
    result.update({f'Acc/{name}': float(value) for name, value in zip(names, acc)})
    return result


def format_table(result: dict[str, float], names: Sequence[str], title: str) -> str:
    """Formats the result of :func:`summarise` as a plain text table."""
    width = max(len(name) for name in (*names, 'class'))
    show = lambda value: '   n/a' if math.isnan(value) else f'{value:6.2f}'  # noqa: E731
    lines = [title, f'{"class":<{width}}     IoU     Acc']
    lines += [f'{name:<{width}}  {show(result[f"IoU/{name}"])}  {show(result[f"Acc/{name}"])}' for name in names]
    lines.append(f'{"mean":<{width}}  {show(result["mIoU"])}  {show(result["mAcc"])}   (all pixels: '
                 f'{show(result["aAcc"]).strip()})')
    absent = [name for name in names if math.isnan(result[f'IoU/{name}'])]
    if absent:
        lines.append(f'n/a, in neither ground truth nor predictions and left out of the mean: {", ".join(absent)}')
    return '\n'.join(lines)


@METRICS.register_module()
class ProtocolIoUMetric(BaseMetric):
    """mIoU of ``pred_sem_seg`` against ``gt_sem_seg`` under a named protocol.

    Returns ``mIoU``, ``mAcc``, ``aAcc`` and ``IoU/<class>`` in percent. The classes of the model are those of the
    data set (``dataset_meta['classes']``).

    Args:
        protocol (str | Mapping): As :func:`get_protocol`: a name, or classes of one's own. Default: ``cityscapes19``.
        outside (str): ``ignore`` (default) or ``count``, see the module.
        ignore_index (int): Label that is not counted. Default: 255.
        per_class_acc (bool): Also return ``Acc/<class>``. Default: False.
        prefix (str, optional): As in mmengine. Default: none.

    Raises:
        KeyError: If the protocol is unknown.
        ValueError: If the classes of the model do not fit it.
    """
    default_prefix = ''

    def __init__(self,
                 protocol: ClassSpec = 'cityscapes19',
                 *,
                 outside: str = 'ignore',
                 ignore_index: int = 255,
                 per_class_acc: bool = False,
                 prefix: str | None = None) -> None:
        super().__init__(collect_device='cpu', prefix=prefix)
        if outside not in ('ignore', 'count'):
            raise ValueError(f'ProtocolIoUMetric got outside={outside!r}; expected "ignore" or "count"')
        self.protocol = get_protocol(protocol)
        self.outside = outside
        self.ignore_index = ignore_index
        self.per_class_acc = per_class_acc
        self._conf: Tensor | None = None
        self._images = 0

    @property
    def dataset_meta(self) -> dict | None:
        """dict | None: metainfo of the data set; setting it checks its classes against the protocol."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        self.protocol.assignment(dataset_meta['classes'])
        self._dataset_meta = dataset_meta

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Adds a batch of predictions (dicts with ``pred_sem_seg`` and ``gt_sem_seg``) to the matrix."""
        if self.dataset_meta is None:
            raise ValueError('ProtocolIoUMetric has no dataset_meta; set it to the metainfo of the data set')
        num_classes = len(self.dataset_meta['classes'])
        for sample in data_samples:
            name = sample.get('img_path') or sample.get('key')
            if 'gt_sem_seg' not in sample:
                raise ValueError(f'{name} comes without ground truth; evaluation needs labelled=True and '
                                 'LoadDomainLabel in the pipeline')
            pred = sample['pred_sem_seg']['data']
            label = sample['gt_sem_seg']['data']
            try:
                conf = confusion_matrix(pred.reshape(pred.shape[-2:]), label.reshape(label.shape[-2:]), num_classes,
                                        self.ignore_index)
            except ValueError as error:
                raise ValueError(f'cannot score {name}: {error}') from None
            self._conf = conf if self._conf is None else self._conf + conf
            self._images += 1

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Computes the metrics from the summed matrix, ``results[0]``: int64 (C, C)."""
        assert self.dataset_meta is not None
        assignment = self.protocol.assignment(self.dataset_meta['classes'])
        names = self.protocol.classes
        result = summarise(apply_protocol(results[0], assignment, len(names)), names, self.outside)
        print_log('\n' + format_table(result, names, f'protocol {self.protocol.name}, {self._total} images, percent'),
                  logger='current')
        return result if self.per_class_acc else {k: v for k, v in result.items() if not k.startswith('Acc/')}

    def evaluate(self, size: int) -> dict[str, float]:
        """Sums over ranks once and returns the metrics on every rank.

        Args:
            size (int): Number of images in the data set.

        Raises:
            ValueError: If more images were scored than there are: the sampler repeated some to fill the ranks.
        """
        classes = len(self.dataset_meta['classes']) if self.dataset_meta else 0
        device = 'cpu' if self._conf is None else self._conf.device
        total = torch.zeros(classes * classes + 1, dtype=torch.int64, device=device)
        if self._conf is not None:
            total[:-1] = self._conf.flatten()
        total[-1] = self._images
        all_reduce(total, op='sum')
        self._conf, self._images = None, 0
        total = total.cpu()
        self._total = int(total[-1])
        if self._total > size:
            raise ValueError(f'scored {self._total} images of a data set of {size}: the sampler repeats images to fill '
                             "all ranks; set sampler=dict(type='DefaultSampler', shuffle=False, round_up=False)")
        if self._total == 0:
            print_log('ProtocolIoUMetric scored no image', logger='current', level=logging.WARNING)
        result = self.compute_metrics([total[:-1].reshape(classes, classes)])
        return {f'{self.prefix}/{k}': v for k, v in result.items()} if self.prefix else result
