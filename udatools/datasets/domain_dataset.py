# SPDX-License-Identifier: Apache-2.0
"""Base class of the data sets of one domain, source or target, labelled or not.

It differs from the stock mmseg data sets in three ways: raw label ids are mapped to a *named class set* by data
(``udatools/datasets/taxonomies``), so that two domains agree on classes by construction; an image has an identity
(its *key*) under which pseudo-labels, answers and predictions are stored; and ``labelled=False`` is a promise: no path
of a label file is built, listed, stat-ed or opened, so target ground truth cannot leak into training.
"""
from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmseg.datasets import BaseSegDataset

from udatools.datasets.frame_gaps import describe_gaps
from udatools.datasets.taxonomies import IGNORE, ClassSpec, check_label_map, get_class_set, get_label_lut
from udatools.datasets.transforms.load_label import read_mapped_label
from udatools.datasets.translated_images import Folders, as_folders, use_translations
from udatools.utils.rng import make_generator

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')


def portion_of_round(portion: float | Sequence[float], number: int) -> float:
    """Returns the share of round ``number`` (from 1) of a share for all rounds or one a round.

    Raises:
        ValueError: If the round is below 1, or a share is outside (0, 1].
    """
    shares = [float(share) for share in portion] if isinstance(portion, Sequence) else [float(portion)]
    if number < 1:
        raise ValueError(f'portion_round is {number}; rounds are counted from 1')
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ValueError(f'portion is {portion}; expected a share of the images in (0, 1], or one a round')
    return shares[min(number, len(shares)) - 1]


def name_some(paths: Sequence[str | os.PathLike[str]], shown: int = 3) -> str:
    """The first few of several files, for messages."""
    return ', '.join(map(str, paths[:shown])) + (', ...' if len(paths) > shown else '')


class DatasetLayoutError(FileNotFoundError):
    """The files of a data set are not where its layout says; the message shows the expected tree."""


class DomainDataset(BaseSegDataset):
    """Images of one domain with keys, a class set, and labels only on request.

    A subclass is one file: it sets :attr:`TAXONOMY` and :attr:`LAYOUT` and says where images and labels lie.

    Args:
        data_root (str | PathLike): Root folder of the data set.
        split (str): Split, as the data set names it. Default: ``train``.
        classes (str | Mapping): Class set that raw labels are mapped to: a name, ``dict(name=..., classes=[...])`` or the
            path of a ``.json`` file with such a dict. Default: ``cityscapes19``.
        label_map (Mapping, optional): Raw label id, or what the data set calls it -> name of a class, or ``'ignore'``; in
            place of the data set's own map to ``classes``. What the data set defines and the map does not list is ignored.
            None and an empty one mean the data set's own.
        labelled (bool): Whether ground truth is read. With False no label path is ever made. Default: True.
        label_dir (str, optional): Folder of label PNGs (train ids, 255 = not labelled) at ``<label_dir>/<key>.png``:
            pseudo-labels or answers of the ledger. Read when an item is loaded; an image without one is all 255.
            Only with ``labelled=False``.
        image_dir (str | Sequence[str], optional): Folder of images that stand for the data set's own, translated or stylised,
            at ``<image_dir>/<key>.<suffix>``; keys and labels stay. Of several folders one is drawn for each item.
        max_items (int, optional): Keep the first this many images in key order.
        portion (float | Sequence[float], optional): Keep a random share of them, in (0, 1], at least one image, still in
            key order: self-training on a part of the source. A sequence has one value a round and its last one serves all
            later rounds.
        portion_round (int): Which round this is, from 1; each round has a subset of its own. Default: 1.
        portion_seed (int): What the subsets are drawn from, together with the round. Default: 0.
        pipeline (Sequence[dict | Callable]): mmcv / mmseg transforms.
        test_mode (bool): As in mmengine. Default: False.
        indices (int | Sequence[int], optional): As in mmengine.
        lazy_init (bool): As in mmengine. Default: False.
        serialize_data (bool): As in mmengine, but off by default: lists here are short, and mmengine collects garbage for it.

    Raises:
        DatasetLayoutError: If the root, the split or any needed file is missing; says which tree was expected.
        ValueError: If there is no image, two images share a key, or the arguments contradict each other.
        KeyError: If the class set is unknown or the data set has no label map to it and none is given.
    """

    TAXONOMY: str = ''
    LAYOUT: str = ''
    LABEL_CHANNEL: int | None = None  # None: one channel; -1: the last one of several
    sparse_labels: bool = False  # whether most images have no label by design, as in videos

    def __init__(self,
                 data_root: str | os.PathLike[str],
                 *,
                 split: str = 'train',
                 classes: ClassSpec = 'cityscapes19',
                 label_map: Mapping | None = None,
                 labelled: bool = True,
                 label_dir: str | os.PathLike[str] | None = None,
                 image_dir: Folders = None,
                 max_items: int | None = None,
                 portion: float | Sequence[float] | None = None,
                 portion_round: int = 1,
                 portion_seed: int = 0,
                 pipeline: Sequence[dict | Callable] = (),
                 test_mode: bool = False,
                 indices: int | Sequence[int] | None = None,
                 lazy_init: bool = False,
                 serialize_data: bool = False) -> None:
        if not data_root:
            raise ValueError(f'{type(self).__name__} got data_root={data_root!r}; give the root folder of the data set')
        if labelled and label_dir is not None:
            raise ValueError(f'{type(self).__name__} got labelled=True and label_dir={str(label_dir)!r}; labels come '
                             'from one place: set labelled=False to train on the label PNGs of label_dir')
        if max_items is not None and max_items < 1:
            raise ValueError(f'{type(self).__name__} got max_items={max_items}; expected at least 1, or None for all')
        class_set = get_class_set(classes)
        self.split = split
        self.class_set = class_set
        # Not `label_map`: mmseg keeps something else under that name.
        self.own_label_map = None if not label_map else check_label_map(label_map, class_set, self.TAXONOMY)
        self.labelled = labelled
        self.label_dir = None if label_dir is None else str(label_dir)
        self.image_dirs = as_folders(image_dir)
        self.max_items = max_items
        self.portion = None if portion is None else portion_of_round(portion, int(portion_round))
        self.portion_round, self.portion_seed = int(portion_round), int(portion_seed)
        if labelled:
            self._check_label_map()
        self._keys: list[str] = []
        super().__init__(
            data_root=os.fspath(data_root),
            data_prefix={},
            metainfo=dict(
                classes=list(class_set.classes),
                palette=[list(color) for color in class_set.palette]),
            ignore_index=IGNORE,
            pipeline=list(pipeline),
            test_mode=test_mode,
            indices=indices,
            lazy_init=lazy_init,
            serialize_data=serialize_data)
        self._metainfo['class_set'] = class_set.name  # not above: mmengine takes a string there for a file to read

    # -- what a subclass says ------------------------------------------------------------------------------------

    def image_root(self) -> Path:
        """Returns the folder that keys are relative to."""
        raise NotImplementedError

    def label_file(self, key: str) -> Path:
        """Returns where the label of ``key`` should be. Only called when ``labelled=True``."""
        raise NotImplementedError

    def list_images(self) -> Iterable[Path]:
        """Returns the image files of the split: by default every image under :meth:`image_root`."""
        return self.scan_images(self.image_root())

    def label_lut(self, label_path: str) -> np.ndarray:
        """Returns the table (int16, (256,)) that maps the raw ids in ``label_path`` to train ids."""
        return get_label_lut(self.TAXONOMY, self.class_set, self.own_label_map)

    def label_reader(self, label_path: str) -> Callable[[str], np.ndarray] | None:
        """Returns a function that reads ``label_path`` where a table of raw ids is not enough, None where it is.

        The function takes the path and gives train ids, uint8 (H, W), 255 = ignore. It must be picklable and small: it
        goes with the data info, so it should not hold the data set.
        """
        return None

    def label_settings(self) -> dict[str, Any]:
        """Returns what labels depend on beside the files and the tables; JSON-able, for memories of what was read."""
        return {}

    def labels_without_image(self, keys: Iterable[str]) -> list[Path]:
        """Returns the label files of the split that belong to none of the images ``keys``, as far as the layout tells.

        Data sets of videos say this, of the clips that they have images of. Only called when ``labelled=True``.
        """
        return []

    def labels_beside(self, keys: Iterable[str]) -> list[Path]:
        """Returns the PNGs in the folders of the labels of ``keys`` that are no label of them, sorted."""
        expected = {self.label_file(key) for key in keys}
        folders = {path.parent for path in expected}
        return sorted(path for folder in folders for path in folder.glob('*.png') if path not in expected)

    def check_images_of_labels(self, images: Iterable[Path]) -> None:
        """Raises a :class:`DatasetLayoutError` for labels without an image; for sets whose labels say which frames they hold."""
        root = self.image_root()
        lost = self.labels_without_image(path.relative_to(root).with_suffix('').as_posix() for path in images)
        if lost:
            raise self.layout_error(f'{len(lost)} labels have no image in {root}: {name_some(lost)}; bring the images back, or '
                                    'take the labels away')

    def clip_of(self, key: str) -> tuple[str, int]:
        """Returns the clip of a frame and its number in the clip's own numbering; gaps are allowed.

        Only data sets of videos say this. Their data infos then hold ``clip`` (str) and ``frame`` (int).

        Args:
            key (str): Key of an image; no file is read.

        Raises:
            NotImplementedError: If images of this data set stand on their own.
        """
        raise NotImplementedError(f'{type(self).__name__} is no data set of videos: it cannot say which clip {key!r} belongs to. '
                                  'Use a data set of videos, or give a subclass clip_of(key) -> (clip, frame number)')

    def _check_label_map(self) -> None:
        get_label_lut(self.TAXONOMY, self.class_set, self.own_label_map)

    # -- listing -------------------------------------------------------------------------------------------------

    def layout_error(self, problem: str) -> DatasetLayoutError:
        """Makes the error for a wrong layout, with the expected tree."""
        return DatasetLayoutError(f'{type(self).__name__}: {problem}.\nExpected layout:\n{self.LAYOUT.rstrip()}\n'
                                  f'Set data_root (got {self.data_root!r}) and split (got {self.split!r}) accordingly, '
                                  'or link the folder there.')

    def scan_images(self, root: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
        """Lists image files under ``root`` recursively, hidden ones left out."""
        if not root.is_dir():
            raise self.layout_error(f'the folder {root} does not exist')
        found = []
        for folder, subfolders, names in os.walk(root, followlinks=True):
            subfolders[:] = [name for name in subfolders if not name.startswith('.')]
            found += [
                Path(folder, name) for name in names if name.lower().endswith(tuple(suffixes)) and name[0] != '.'
            ]
        return found

    def read_split_file(self, path: Path, folder: Path) -> list[Path]:
        """Finds the images that a split file names, one stem (or file name) a line, in ``folder``."""
        try:
            stems = [line.split()[0] for line in path.read_text(encoding='utf-8').splitlines() if line.strip()]
        except FileNotFoundError:
            raise self.layout_error(f'the split file {path} does not exist') from None
        images = {image.relative_to(folder).as_posix(): image for image in self.scan_images(folder)}
        images.update({name.rpartition('.')[0]: image for name, image in list(images.items())})
        missing = [stem for stem in stems if stem not in images]
        if missing:
            raise self.layout_error(f'{path} names {len(missing)} images that are not in {folder}: '
                                    f'{", ".join(missing[:5])}{", ..." if len(missing) > 5 else ""}')
        return [images[stem] for stem in stems]

    def load_data_list(self) -> list[dict]:
        """Lists the images of the split in key order, and checks that labels exist when they are asked for."""
        if not Path(self.data_root).is_dir():
            raise self.layout_error(f'data_root {self.data_root} does not exist')
        root = self.image_root()
        by_key: dict[str, Path] = {}
        for path in self.list_images():
            key = path.relative_to(root).with_suffix('').as_posix()
            if by_key.setdefault(key, path) != path:
                raise ValueError(f'{type(self).__name__}: {by_key[key]} and {path} would share the key {key!r}; keep '
                                 'one of them, or give them different names')
        if not by_key:
            raise ValueError(f'{type(self).__name__}: found no image in {root} (looked for '
                             f'{", ".join(IMAGE_SUFFIXES)}). Expected layout:\n{self.LAYOUT.rstrip()}')
        keys = sorted(by_key)[:self.max_items]
        if self.portion is not None:
            generator = make_generator(self.portion_seed, 'portion', self.portion_round)
            kept = generator.permutation(len(keys))[:max(1, round(self.portion * len(keys)))]
            keys = [keys[i] for i in sorted(kept)]
        items = [self._data_info(key, by_key[key]) for key in keys]
        if self.image_dirs:
            use_translations(items, self.image_dirs, IMAGE_SUFFIXES)
        if self.labelled:
            missing = [info['seg_map_path'] for info in items if not os.path.exists(info['seg_map_path'])]
            if missing:
                raise self.layout_error(f'{len(missing)} of {len(items)} images have no label file, the first is '
                                        f'{missing[0]}; use labelled=False to train without labels')
        return items

    def _data_info(self, key: str, path: Path) -> dict[str, Any]:
        info: dict[str, Any] = dict(
            img_path=str(path), key=key, seg_fields=[], reduce_zero_label=False, num_classes=len(self.class_set))
        try:
            info['clip'], info['frame'] = self.clip_of(key)
        except NotImplementedError:
            pass
        if self.labelled:
            info['seg_map_path'] = str(self.label_file(key))
        elif self.label_dir is not None:
            info['label_dir'] = self.label_dir
        return info

    def full_init(self) -> None:
        """Loads the list of images once."""
        if self._fully_initialized:
            return
        super().full_init()
        self._note_keys()

    def _note_keys(self) -> None:
        self._keys = [BaseSegDataset.get_data_info(self, i)['key'] for i in range(len(self))]
        self._index = {key: i for i, key in enumerate(self._keys)}

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Returns the data info of an image; with labels, the table ``label_lut`` comes with it."""
        info = super().get_data_info(idx)
        if 'seg_map_path' in info:
            info['label_lut'] = self.label_lut(info['seg_map_path'])
            info['label_channel'] = self.LABEL_CHANNEL
            reader = self.label_reader(info['seg_map_path'])
            if reader is not None:
                info['label_reader'] = reader
        return info

    def restrict_to(self, keys: Iterable[str]) -> None:
        """Keeps some of the images, in dataset order, from now on; for a subset that is known only while a run goes on.

        Raises:
            KeyError: If the split has no such image.
            ValueError: If no image would be left.
        """
        kept = sorted({self.index(key) for key in keys})
        if not kept:
            raise ValueError(f'{type(self).__name__} would be left without an image; name one or more keys')
        self.get_subset_(kept)
        self._note_keys()

    # -- by key --------------------------------------------------------------------------------------------------

    @property
    def keys(self) -> list[str]:
        """list[str]: Keys of all images in dataset order."""
        self.full_init()
        return list(self._keys)

    def index(self, key: str) -> int:
        """Returns the position of an image.

        Raises:
            KeyError: If the split has no such image.
        """
        self.full_init()
        if key not in self._index:
            raise KeyError(f'{type(self).__name__} has no image {key!r} among its {len(self._keys)} of split '
                           f'{self.split!r}; keys look like {self._keys[0]!r}')
        return self._index[key]

    def image_path(self, key: str) -> str:
        """Returns the image file of ``key``."""
        return super().get_data_info(self.index(key))['img_path']

    def label_path(self, key: str) -> str:
        """Returns the ground-truth file of ``key``.

        Raises:
            PermissionError: If the data set is not labelled; ground truth is out of reach then.
        """
        if not self.labelled:
            raise PermissionError(f'{type(self).__name__} has labelled=False: ground truth of {key!r} is out of reach. '
                                  'Only evaluation, baselines and the oracle build it with labelled=True')
        return super().get_data_info(self.index(key))['seg_map_path']

    def load_label(self, key: str) -> np.ndarray:
        """Reads the ground truth of ``key`` as train ids.

        Returns:
            np.ndarray: uint8, (H, W), 0..C-1, 255 = ignore, at the resolution of the label file.

        Raises:
            PermissionError: If the data set is not labelled.
            ValueError: If the file is corrupt or holds unknown ids.
        """
        return self.read_label(self.label_path(key))

    def read_label(self, path: str) -> np.ndarray:
        """Reads a label file of this data set; see :meth:`load_label`."""
        reader = self.label_reader(path)
        return reader(path) if reader is not None else read_mapped_label(path, self.label_lut(path), self.LABEL_CHANNEL)

    # -- for the journal and --dry-run ---------------------------------------------------------------------------

    def fingerprint(self) -> str:
        """Returns the SHA-256 (hex) of the keys and the sizes in bytes of the image files; reads no image.

        Raises:
            FileNotFoundError: If a file that was listed is gone, or a link to it leads nowhere.
        """
        digest = hashlib.sha256()
        for i, key in enumerate(self.keys):
            info = BaseSegDataset.get_data_info(self, i)
            for path in info.get('img_paths', [info['img_path']]):
                try:
                    size = os.stat(path).st_size
                except FileNotFoundError:
                    raise FileNotFoundError(f'{path} does not exist, or is a link that leads nowhere; check that the data set is '
                                            'complete') from None
                digest.update(f'{key}\0{size}\n'.encode())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """Returns what ``--dry-run`` prints: type, root, split, number of images, class set, where labels come from, and gaps."""
        labels = 'ground truth' if self.labelled else 'none' if self.label_dir is None else f'PNGs in {self.label_dir}'
        return dict(
            type=type(self).__name__,
            data_root=str(self.data_root),
            split=self.split,
            images=len(self.keys),
            first_key=self._keys[0],
            classes=self.class_set.name,
            num_classes=len(self.class_set),
            labels=labels,
            translated=f'images from {", ".join(self.image_dirs)}' if self.image_dirs else None,
            gaps=self.gaps())

    def gaps(self) -> str | None:
        """Says where frames of clips are missing; None without gaps, of images that are no video, and of a random portion."""
        if self.portion is not None:
            return None
        try:
            return describe_gaps(self.clip_of(key) for key in self.keys)
        except NotImplementedError:
            return None
