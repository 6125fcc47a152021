# SPDX-License-Identifier: Apache-2.0
"""Rare-class sampling of a labelled domain (DAFormer: Hoyer, Dai, Van Gool, CVPR 2022, Sec. 3.3).

First a class is drawn, the rarer the likelier, then an image that shows it; augmentation is repeated until enough of the class is
left in the crop. How often classes occur is read from a ``class_statistics.json``, or counted from the labels.

Differs from the authors' code in that what is drawn is a function of (seed, counter), and in that a class that no image shows
well enough is never drawn.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.logging import MMLogger

from udatools.datasets.clips import ClipDataset
from udatools.datasets.preparation.statistics import ClassStatistics, images_by_class, rare_class_probabilities
from udatools.datasets.taxonomies import IGNORE
from udatools.utils.rng import make_generator


class RareClassSampling:
    """Draws images of a data set by the classes that they show.

    Clips are drawn by their key frames, and judged by them.

    Args:
        dataset (DomainDataset | ClipDataset): With ground truth.
        statistics (str, optional): Its ``class_statistics.json``, as the scripts of ``tools/dataset_converters`` write it.
            None: every label is read once, now; for thousands of large images give the file.
        temperature (float): T of ``P(c) ~ exp((1 - f_c) / T)``; the smaller, the more the rarest classes are preferred.
            Default: 0.01, as in the paper.
        min_pixels (int): An image shows a class with at least this many native pixels of it. Default: 1; DAFormer 3000.
        min_crop_pixels (int): Augmentation is drawn again while fewer pixels of the class are left. Default: 0; DAFormer
            1500 of 512 x 512.
        attempts (int): The last of so many augmentations is taken in any case. Default: 10.

    Attributes:
        probabilities (np.ndarray): float64, (C,), of each class, sums to 1.
        images (list[np.ndarray]): For each class the indices of the images that show it, int64.

    Raises:
        FileNotFoundError: If there is no such file of statistics.
        ValueError: If a number is out of range, the data set has no ground truth, the statistics are of other images or
            classes, or no image shows any class.
    """

    def __init__(self, dataset: Any, *, statistics: str | None = None, temperature: float = 0.01, min_pixels: int = 1,
                 min_crop_pixels: int = 0, attempts: int = 10) -> None:
        if min_crop_pixels < 0 or attempts < 1:
            raise ValueError(f'rare-class sampling got min_crop_pixels={min_crop_pixels}, attempts={attempts}; expected 0 or '
                             'more, and 1 or more')
        images = dataset.dataset if isinstance(dataset, ClipDataset) else dataset
        if not images.labelled:
            raise ValueError('rare-class sampling reads ground truth, but the source has labelled=False (label PNGs of a '
                             'label_dir change from round to round); set labelled=True, or rare_classes=None')
        counted = count_classes(images) if statistics is None else ClassStatistics.load(statistics)
        counted.check(images)
        shown = images_by_class(counted.images, len(counted.classes), min_pixels)
        at = {key: position for position, key in enumerate(dataset.keys)}  # of clips, key frames are not all images
        self.images: list[np.ndarray] = [np.array([at[key] for key in keys if key in at], np.int64) for keys in shown]
        drawable = [len(indices) > 0 for indices in self.images]
        if not any(drawable):
            raise ValueError(f'no image has {min_pixels} pixels of any class; lower min_pixels of the rare-class sampling')
        self.probabilities = rare_class_probabilities(counted.pixels, temperature, drawable)
        self.classes = counted.classes
        self.temperature = temperature
        self.min_crop_pixels, self.attempts = int(min_crop_pixels), int(attempts)

    def draw(self, seed: int, counter: int) -> tuple[int, int]:
        """What a counter stands for, a pure function of ``(seed, counter)``.

        Returns:
            tuple[int, int]: Index of an image, and train id of the class that it was drawn for.
        """
        generator = make_generator(seed, 'rare-class', counter)
        train_id = int(generator.choice(len(self.probabilities), p=self.probabilities))
        return int(generator.choice(self.images[train_id])), train_id

    def is_left(self, packed: dict[str, Any], train_id: int) -> bool:
        """Whether enough of the class is left in an augmented item, as ``PackSegInputs`` or ``PackClipInputs`` made it."""
        if self.min_crop_pixels == 0:
            return True
        label = packed['data_samples'].gt_sem_seg.data[0]  # of the image, or of the key frame of a clip
        return int((label == train_id).sum()) >= self.min_crop_pixels

    def describe(self) -> dict[str, Any]:
        """The settings, and the probability of each class by name, rounded."""
        by_name = {name: round(float(probability), 4) for name, probability in zip(self.classes, self.probabilities)}
        return dict(temperature=self.temperature, min_crop_pixels=self.min_crop_pixels, attempts=self.attempts,
                    probabilities=by_name)


def count_classes(dataset: Any) -> ClassStatistics:
    """Counts the classes in the labels of a labelled data set.

    Args:
        dataset (DomainDataset): ``labelled=True``.

    Returns:
        ClassStatistics: Of all its images, with its fingerprint.
    """
    MMLogger.get_current_instance().info(f'counting the classes of {len(dataset)} label maps for rare-class sampling')
    images = {}
    for key in dataset.keys:
        counts = np.bincount(dataset.load_label(key).ravel(), minlength=IGNORE + 1)
        images[key] = {int(train_id): int(counts[train_id]) for train_id in np.flatnonzero(counts)}
    description = dict(type=type(dataset).__name__, split=dataset.split, fingerprint=dataset.fingerprint())
    return ClassStatistics(description, dataset.class_set.name, tuple(dataset.metainfo['classes']), images)
