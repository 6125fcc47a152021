# SPDX-License-Identifier: Apache-2.0
"""Finds the modes of source patches before a stage trains (PatchAlign, Tsai et al., ICCV 2019, Sec. 3.2).

The authors cluster all source patches in a script of its own. Here every n-th image is enough to fill ``max_images``, and the
result lies in the work directory with the hash of what it came from.
"""
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import Tensor

from udatools.engine.runner.distributed import on_main
from udatools.ops.clustering import kmeans, patch_grid, patch_label_histograms
from udatools.ops.digests import json_digest
from udatools.registry import DATASETS, HOOKS
from udatools.utils.atomic import write_bytes_atomic


@HOOKS.register_module()
class PatchModesHook(Hook):
    """At ``before_train``: K-means centres of the label histograms of source patches, handed to a ``PatchAlignment``.

    Rank 0 computes them and all ranks get the same; a complete file of the same inputs is read instead.

    Args:
        dataset (Mapping): config of the labelled source ``DomainDataset``; only labels are read.
        size (tuple[int, int]): height and width of the source's training images, to which labels are resized (nearest).
        out_dir (str): folder for ``patch_modes.npz``.
        objective (str): name of the objective.
        max_images (int): how many images, evenly spaced over the dataset.
        seed (int): of the clustering.
    """

    priority = 'NORMAL'

    def __init__(self, dataset: Mapping[str, Any], *, size: tuple[int, int], out_dir: str, objective: str = 'patch',
                 max_images: int = 500, seed: int = 0) -> None:
        if max_images < 1:
            raise ValueError(f'max_images is {max_images}; expected at least 1')
        self.dataset, self.out_dir, self.objective = dataset, Path(out_dir), objective
        self.size = (size[0], size[1])
        self.max_images, self.seed = max_images, seed

    def before_train(self, runner: Any) -> None:
        """Compute or read the centres and hand them over."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if self.objective not in model.objectives:
            raise KeyError(f"PatchModesHook looks for the objective '{self.objective}', the model has {list(model.objectives)}; "
                           'give its name= as objective=')
        objective = model.objectives[self.objective]
        centres = on_main(lambda: self._centres(objective))
        objective.set_centres(torch.from_numpy(centres))

    def _centres(self, objective: Any) -> np.ndarray:
        dataset = DATASETS.build(dict(self.dataset, pipeline=[]))
        classes = list(dataset.metainfo['classes'])
        if len(classes) != objective.num_classes:
            raise ValueError(f'the source has {len(classes)} classes, PatchAlignment num_classes={objective.num_classes}; give '
                             'both the same class set')
        path = self.out_dir / 'patch_modes.npz'
        input_hash = json_digest(dict(
            dataset=dataset.fingerprint(), classes=classes, size=self.size, seed=self.seed,
            max_images=self.max_images, patch_size=objective.patch_size, num_clusters=objective.num_clusters))
        centres = read_modes(path, input_hash)
        if centres is None:
            points = self._histograms(dataset, objective)
            centres = kmeans(points, objective.num_clusters, seed=self.seed).numpy()
            if len(centres) < objective.num_clusters:
                print_log(f'the {len(points)} source patches have only {len(centres)} distinct modes, fewer than num_clusters='
                          f'{objective.num_clusters}', logger='current', level=30)
            buffer = BytesIO()
            np.savez(buffer, centres=centres, input_hash=np.array(input_hash))
            write_bytes_atomic(path, buffer.getvalue())
        return centres

    def _histograms(self, dataset: Any, objective: Any) -> Tensor:
        """float32, (N, 4 C), of all labelled patches."""
        grid = patch_grid(self.size, objective.patch_size)
        indices = np.linspace(0, len(dataset.keys) - 1, min(self.max_images, len(dataset.keys))).round().astype(int)
        found = []
        for index in indices:
            label = dataset.load_label(dataset.keys[index])
            if label.shape != self.size:
                label = cv2.resize(label, self.size[::-1], interpolation=cv2.INTER_NEAREST)
            histograms, labelled = patch_label_histograms(torch.from_numpy(label).long()[None], objective.num_classes, grid)
            found.append(histograms[labelled])
        points = torch.cat(found)
        if not len(points):
            raise ValueError(f'none of {len(indices)} source images has a labelled pixel; PatchModesHook needs source labels')
        return points


def read_modes(path: Path, input_hash: str) -> np.ndarray | None:
    """The centres of a complete file from exactly these inputs, float32 (K, D); None otherwise."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return content['centres'] if str(content['input_hash']) == input_hash else None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
