# SPDX-License-Identifier: Apache-2.0
"""The validation set seen by the model of a run, image by image: confusion matrices, kept beside the run since they cost.

The network, its pipeline and its classes are those that ``tools/infer.py`` shows and ``tools/test.py`` scores; the images, their
ground truth and the protocol are those of ``val_dataloader`` and ``val_evaluator`` in the run's config. Nothing of the
target's training set is read here.
"""

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from udatools.evaluation.images import image_miou, reported_confusion
from udatools.evaluation.iou import apply_protocol, confusion_matrix, summarise
from udatools.evaluation.protocols import Protocol, get_protocol
from udatools.ops.digests import json_digest
from udatools.utils.atomic import write_bytes_atomic
from udatools.utils.png import read_image
from udatools.utils.progress import Progress

__all__ = ['CACHE', 'Validation', 'Validator', 'run_config']

#: Below a work directory.
CACHE = Path('analysis') / 'validation.npz'


@dataclass
class Validation:
    """What the model of a run confuses.

    Attributes:
        keys (list[str]): of the images, in the order of the data set.
        confusions (Tensor): int64, (N, C, C), one a image over the classes of the model; rows are labels.
        classes (list[str]): C names of the model's classes.
        protocol (Protocol): that is reported.
        outside (str): as of ``ProtocolIoUMetric``.
        model (str): which checkpoint this is, relative to the work directory.
    """

    keys: list[str]
    confusions: Tensor
    classes: list[str]
    protocol: Protocol
    outside: str
    model: str

    @property
    def names(self) -> list[str]:
        """The P reported classes."""
        return list(self.protocol.classes)

    def reported(self) -> Tensor:
        """int64, (P, P + 1): all images, under the protocol; the last column is of predictions that are not reported."""
        return reported_confusion(self.confusions.sum(0), self.protocol.assignment(self.classes), self.names)

    def of_image(self, key: str) -> Tensor:
        """As :meth:`reported`, of one image."""
        return reported_confusion(self.confusions[self.keys.index(key)], self.protocol.assignment(self.classes), self.names)

    def miou(self) -> float:
        """mIoU of the set in percent, as ``ProtocolIoUMetric`` has it."""
        conf = apply_protocol(self.confusions.sum(0), self.protocol.assignment(self.classes), len(self.names))
        return summarise(conf, self.names, self.outside)['mIoU']

    def image_scores(self) -> dict[str, float]:
        """Key -> :func:`image_miou`, in percent, nan without labelled pixels."""
        assignment = self.protocol.assignment(self.classes)
        return {key: image_miou(apply_protocol(conf, assignment, len(self.names)), len(self.names))
                for key, conf in zip(self.keys, self.confusions)}


def run_config(work_dir: Path, options: Mapping[str, Any] | None = None) -> Any:
    """The config that a run was made with.

    Args:
        work_dir (Path): with ``config.py``.
        options (Mapping, optional): dotted overrides, such as where data lies on this machine.

    Returns:
        Config: references are not resolved.

    Raises:
        FileNotFoundError: there is no ``config.py``.
    """
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    import udatools  # noqa: F401 - fills the registries

    path = work_dir / 'config.py'
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; expected the work directory of a run of tools/train.py')
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(dict(options or {}))
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    return cfg


class Validator:
    """The final model of a run, else that of its last evaluated stage, and the validation set of its config.

    Args:
        work_dir (Path): of a run.
        device (str, optional): such as ``'cpu'`` or ``'cuda:1'``; by default a GPU where there is one.
        options (Mapping, optional): dotted overrides of the run's config.

    Raises:
        FileNotFoundError: no stage is finished, or data or config are missing.
        ValueError: the config has no validation set, its images have no ground truth, or the protocol does not fit.
        CheckpointError: the checkpoint cannot be read.
    """

    def __init__(self, work_dir: Path, *, device: str | None = None, options: Mapping[str, Any] | None = None) -> None:
        from udatools.engine.frame_predictor import load_frame_predictor
        from udatools.engine.runner.stages import resolve_references
        from udatools.registry import DATASETS

        self.work_dir = work_dir
        cfg = resolve_references(run_config(work_dir, options))
        dataset = dict((cfg.get('val_dataloader') or {}).get('dataset') or {})
        if not dataset:
            raise ValueError(f'{work_dir / "config.py"} has no val_dataloader; the confusion matrix needs a validation set')
        self.dataset = DATASETS.build(dict(dataset, pipeline=[]))
        if not self.dataset.labelled:
            raise ValueError(f'the validation set of {work_dir / "config.py"} is not labelled; the confusion matrix needs ground '
                             'truth')
        self.settings = _protocol_settings(cfg)
        self.checkpoint = newest_model(work_dir)
        self.predictor = load_frame_predictor(self.checkpoint, device=device)

    @property
    def palette(self) -> list[tuple[int, ...]]:
        """Colours of the model's classes."""
        return [tuple(map(int, colour)) for colour in self.predictor.palette]

    def image(self, key: str) -> npt.NDArray[np.uint8]:
        """uint8, (H, W, 3), RGB."""
        return np.ascontiguousarray(read_image(self.dataset.image_path(key))[..., ::-1])

    def truth(self, key: str) -> npt.NDArray[np.uint8]:
        """Train ids, uint8, (H, W), 255 = ignore."""
        return np.asarray(self.dataset.load_label(key), np.uint8)

    def predict(self, key: str) -> npt.NDArray[np.uint8]:
        """Train ids, uint8, (H, W)."""
        from udatools.engine.frame_predictor import train_ids

        return train_ids(self.predictor.logits([read_image(self.dataset.image_path(key))])[0])

    def run(self) -> Validation:
        """Predict every image, unless the same model has seen the same images before; leaves ``analysis/validation.npz``.

        Raises:
            OSError: if the work directory cannot be written to.
        """
        keys, classes = self.dataset.keys, self.predictor.classes
        protocol = get_protocol(self.settings['protocol'] or self.dataset.class_set)
        protocol.assignment(classes)  # raises before an hour of inference, not after
        digest, path = self._digest(), self.work_dir / CACHE
        confusions = _read_cache(path, digest, (len(keys), len(classes), len(classes)))
        if confusions is None:
            confusions = torch.zeros(len(keys), len(classes), len(classes), dtype=torch.int64)
            with Progress(f'{self.work_dir.name}: validation', len(keys), 'images') as progress:
                for i, key in enumerate(keys):
                    confusions[i] = confusion_matrix(torch.from_numpy(self.predict(key)), torch.from_numpy(self.truth(key)),
                                                     len(classes))
                    progress.update(i + 1)
            buffer = BytesIO()
            np.savez_compressed(buffer, digest=digest, keys=keys, classes=classes, confusions=confusions.numpy())
            write_bytes_atomic(path, buffer.getvalue())
        model = str(self.checkpoint.relative_to(self.work_dir))
        return Validation(keys, confusions, classes, protocol, self.settings['outside'], model)

    def _digest(self) -> str:
        """Of what the matrices depend on: weights, how images are read, images, and times and sizes of the label files."""
        labels = [os.stat(self.dataset.label_path(key)) for key in self.dataset.keys]
        return json_digest([1, self.predictor.fingerprint(), self.predictor.reading_digest(), self.predictor.classes,
                            self.dataset.fingerprint(), repr(self.dataset.own_label_map),
                            [[stat.st_size, stat.st_mtime_ns] for stat in labels]])


def newest_model(work_dir: Path) -> Path:
    """The exported model of a run, else the checkpoint of its last evaluated stage.

    Raises:
        FileNotFoundError: if it has neither.
    """
    from udatools.engine.runner.journal import DONE, Journal

    final = work_dir / 'final' / 'model.pth'
    if final.is_file():
        return final
    journal = Journal(work_dir / 'journal.json')
    records = [journal.stage(name) for name in journal.content['run'].get('stages', [])]
    done = [record['checkpoint'] for record in records if record['status'] == DONE and record.get('metrics')]
    if not done:
        raise FileNotFoundError(f'{work_dir} has no final/model.pth and no evaluated stage yet; let its first stage finish')
    return work_dir / str(done[-1])


def _protocol_settings(cfg: Any) -> dict[str, Any]:
    """``protocol`` and ``outside`` of the first evaluator that has one; None is the class set's own."""
    found = cfg.get('val_evaluator') or []
    for entry in [found] if isinstance(found, Mapping) else found:
        if 'protocol' in entry and entry['type'] == 'ProtocolIoUMetric':
            return dict(protocol=entry['protocol'], outside=entry.get('outside', 'ignore'))
    return dict(protocol=None, outside='ignore')


def _read_cache(path: Path, digest: str, shape: tuple[int, ...]) -> Tensor | None:
    """None when there is none, it is of something else, or it is damaged."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as content:
            if str(content['digest']) != digest or content['confusions'].shape != shape:
                return None
            return torch.from_numpy(content['confusions'])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
