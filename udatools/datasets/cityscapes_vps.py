# SPDX-License-Identifier: Apache-2.0
"""Cityscapes-VPS (Kim et al., CVPR 2020): clips of 30 real frames at 2048x1024, every fifth labelled; 400/50/50 clips.

The clips are those of the validation sequences of Cityscapes; training and validation clips are labelled, test clips are
not. A frame is known by its clip and its name in Cityscapes, ``0005_0025_frankfurt_000000_001736_newImg8bit``: the running
number in second place differs between folders and the last word says who labelled it, so neither is looked at.
"""
from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from udatools.datasets.domain_dataset import DomainDataset
from udatools.datasets.taxonomies import IGNORE, get_label_lut, get_raw_names, read_json_object
from udatools.registry import DATASETS
from udatools.utils.png import read_png

LABEL_FOLDERS = {'labelmap': 'labelmap', 'panoptic': 'panoptic_video', 'cls': 'cls'}
_NAME = re.compile(r'(\d+)_\d+_([^_]+_\d{6}_(\d{6}))(?:_\w+)?')


def parse_frame_name(stem: str) -> tuple[str, str, int]:
    """Reads a name of the release.

    Args:
        stem (str): ``0005_0025_frankfurt_000000_001736_newImg8bit``, the last word may be missing.

    Returns:
        tuple[str, str, int]: Clip ``0005``, name in Cityscapes ``frankfurt_000000_001736``, frame 1736.

    Raises:
        ValueError: If it is no such name.
    """
    match = _NAME.fullmatch(stem)
    if match is None:
        raise ValueError(f'{stem} is no name of Cityscapes-VPS; expected <clip>_<number>_<city>_<sequence>_<frame>_..., such '
                         'as 0005_0025_frankfurt_000000_001736_newImg8bit')
    return match.group(1), match.group(2), int(match.group(3))


def read_panoptic_label(path: str, segment_ids: np.ndarray, train_ids: np.ndarray) -> np.ndarray:
    """Reads a panoptic PNG as train ids.

    Args:
        path (str): RGB PNG, a pixel's segment id is R + 256 G + 65536 B.
        segment_ids (np.ndarray): int64, (S,), ascending ids of the segments, void (0) among them.
        train_ids (np.ndarray): uint8, (S,), their train ids, 255 = ignore.

    Returns:
        np.ndarray: uint8, (H, W), train ids, 255 = ignore.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is corrupt, is no RGB picture, or holds ids that are no segment of the image.
    """
    bgr = read_png(path)
    if bgr.ndim != 3 or bgr.dtype != np.uint8:
        raise ValueError(f'{path} is no RGB PNG of segment ids (got shape {bgr.shape}, {bgr.dtype}); is it a map of class ids? '
                         "Those are read with label_source='labelmap' or 'cls'")
    ids = bgr[:, :, 2] + 256 * bgr[:, :, 1].astype(np.int64) + 65536 * bgr[:, :, 0].astype(np.int64)
    index = np.minimum(np.searchsorted(segment_ids, ids), len(segment_ids) - 1)
    unknown = segment_ids[index] != ids
    if unknown.any():
        raise ValueError(f'{path} holds segment ids {np.unique(ids[unknown])[:5].tolist()} that its annotation does not list; '
                         'PNGs and JSON must be of the same release')
    return train_ids[index]


@DATASETS.register_module()
class CityscapesVPSDomain(DomainDataset):
    """Cityscapes-VPS in the layout of its release; other arguments as :class:`DomainDataset`. Splits: train, val, test.

    With ``labelled=True`` it is the frames that have a label (every fifth), with ``labelled=False`` all frames.

    Args:
        data_root (str | PathLike): Root folder of the data set.
        image_dir (str, optional): Folder of the images within the split: ``img_all`` (all 30 frames of a clip) or ``img``
            (the labelled ones in the release). Default: None, ``img_all`` where it exists, else ``img``.
        label_source (str, optional): ``labelmap``: train ids; ``panoptic``: segment ids of ``panoptic_video`` with
            ``panoptic_gt_<split>_city_vps.json``, whose category names count, not their ids; ``cls``: label ids of Cityscapes.
            Default: None, the first of these whose folder exists.
        **kwargs: As :class:`DomainDataset`.

    Raises:
        ValueError: If ``label_source`` is none of them, a file name is not as in the release, or the JSON does not fit.
        DatasetLayoutError: As :class:`DomainDataset`, there is no folder of labels, or a label has no image.
    """

    TAXONOMY = 'cityscapes'
    LAYOUT = """
<data_root>/
  <split>/img/0005_0025_frankfurt_000000_001736_newImg8bit.png ...      (the frames that are labelled)
  <split>/img_all/...                                                   (all 30 frames of a clip)
  <split>/labelmap/0005_0025_frankfurt_000000_001736_final_mask.png ... (train ids), or
  <split>/panoptic_video/...  and  panoptic_gt_<split>_city_vps.json    (RGB segment ids and their categories), or
  <split>/cls/...                                                       (label ids 0..33 of Cityscapes)
"""
    sparse_labels = True

    def __init__(self,
                 data_root: str | os.PathLike[str],
                 *,
                 image_dir: str | None = None,
                 label_source: str | None = None,
                 **kwargs: Any) -> None:
        if label_source is not None and label_source not in LABEL_FOLDERS:
            raise ValueError(f'CityscapesVPSDomain got label_source={label_source!r}; expected one of '
                             f'{", ".join(LABEL_FOLDERS)}, or None for the first that exists')
        self.image_dir = image_dir
        self._label_source = label_source
        self._label_files: dict[tuple[str, str], Path] | None = None
        self._segments: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] | None = None
        super().__init__(data_root, **kwargs)

    def image_root(self) -> Path:
        """Returns ``<data_root>/<split>/img_all``, or ``img`` (see ``image_dir``)."""
        split = Path(self.data_root) / self.split
        if self.image_dir is not None:
            return split / self.image_dir
        return split / 'img_all' if (split / 'img_all').is_dir() else split / 'img'

    def clip_of(self, key: str) -> tuple[str, int]:
        """Returns the clip and the frame number in Cityscapes: ``('0005', 1736)``."""
        clip, _, frame = parse_frame_name(Path(key).name)
        return clip, frame

    def list_images(self) -> Iterable[Path]:
        """Lists all images; of a labelled set those that have a label."""
        images = self.scan_images(self.image_root())
        if not self.labelled:
            return images
        with_label = [path for path in images if parse_frame_name(path.stem)[:2] in self._labels()]
        if not with_label:
            raise self.layout_error(f'none of the {len(images)} images in {self.image_root()} has a label in '
                                    f'{self._label_folder()}')
        self.check_images_of_labels(images)
        return with_label

    def labels_without_image(self, keys: Iterable[str]) -> list[Path]:
        """See the base class."""
        seen = {parse_frame_name(Path(key).name)[:2] for key in keys}
        return sorted(path for frame, path in self._labels().items() if frame not in seen)

    # -- labels --------------------------------------------------------------------------------------------------

    @property
    def label_source(self) -> str:
        """str: Where labels come from; with ``label_source=None`` this looks at the folders, so only of a labelled set."""
        if self._label_source is None:
            split = Path(self.data_root) / self.split
            found = [source for source, folder in LABEL_FOLDERS.items() if (split / folder).is_dir()]
            if not found:
                raise self.layout_error(f'{split} has no folder of labels ({", ".join(LABEL_FOLDERS.values())})')
            self._label_source = found[0]
        return self._label_source

    def _label_folder(self) -> Path:
        return Path(self.data_root) / self.split / LABEL_FOLDERS[self.label_source]

    def _labels(self) -> Mapping[tuple[str, str], Path]:
        """Label file by clip and name in Cityscapes."""
        if self._label_files is None:
            paths = self.scan_images(self._label_folder(), ('.png', ))
            self._label_files = {parse_frame_name(path.stem)[:2]: path for path in paths}
        return self._label_files

    def label_file(self, key: str) -> Path:
        """Returns the label file of the frame, or where it would be."""
        name = Path(key).name
        return self._labels().get(parse_frame_name(name)[:2], self._label_folder() / f'{name}.png')

    def label_lut(self, label_path: str) -> np.ndarray:
        """Returns the table for train ids (``labelmap``) or for label ids of Cityscapes."""
        taxonomy = 'cityscapes_trainids' if self.label_source == 'labelmap' else self.TAXONOMY
        return get_label_lut(taxonomy, self.class_set, self.own_label_map)

    def label_reader(self, label_path: str) -> Callable[[str], np.ndarray] | None:
        """Returns the reader of panoptic PNGs, if labels are such."""
        if self.label_source != 'panoptic':
            return None
        if self._segments is None:
            self._segments = self._read_annotations()
        try:
            segment_ids, train_ids = self._segments[parse_frame_name(Path(label_path).stem)[:2]]
        except KeyError:
            raise ValueError(f'{self._annotation_file()} has no annotation of {label_path}; PNGs and JSON must be of the same '
                             'release') from None
        return partial(read_panoptic_label, segment_ids=segment_ids, train_ids=train_ids)

    def label_settings(self) -> dict[str, Any]:
        """Returns where labels come from, and the annotations they are read with."""
        settings: dict[str, Any] = {'label_source': self.label_source}
        if self.label_source == 'panoptic':
            status = self._annotation_file().stat()
            settings['annotations'] = [status.st_size, status.st_mtime_ns]
        return settings

    def _annotation_file(self) -> Path:
        return Path(self.data_root) / f'panoptic_gt_{self.split}_city_vps.json'

    def _read_annotations(self) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
        path = self._annotation_file()
        if not path.exists():
            raise self.layout_error(f'the annotations {path} do not exist')
        content = read_json_object(path)
        try:
            train_id = self._category_train_ids(content['categories'], path)
            names = {image['id']: image['file_name'] for image in content['images']}
            segments = {}
            for entry in content['annotations']:
                name = entry.get('file_name') or names[entry['image_id']]
                pairs = {int(item['id']): train_id[item['category_id']] for item in entry['segments_info']}
                ordered = sorted(({0: IGNORE} | pairs).items())
                segments[parse_frame_name(Path(name).stem)[:2]] = (np.array([one for one, _ in ordered], np.int64),
                                                                   np.array([label for _, label in ordered], np.uint8))
        except (KeyError, TypeError) as error:
            raise ValueError(f'{path} is no panoptic JSON ({type(error).__name__}: {error}); expected images, annotations with '
                             'segments_info, and categories, in the format of COCO panoptic') from None
        return segments

    def _category_train_ids(self, categories: list[dict], path: Path) -> dict[int, int]:
        """Category id -> train id, by name: the ids are train ids in the release and label ids elsewhere."""
        raw = {name: number for number, name in get_raw_names(self.TAXONOMY).items()}
        lut = get_label_lut(self.TAXONOMY, self.class_set, self.own_label_map)
        unknown = [entry['name'] for entry in categories if entry['name'] not in raw]
        if unknown:
            raise ValueError(f'{path} has categories that Cityscapes does not know: {json.dumps(unknown)}; expected names such '
                             'as "traffic light"')
        return {entry['id']: int(lut[raw[entry['name']]]) for entry in categories}
