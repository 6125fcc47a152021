# SPDX-License-Identifier: Apache-2.0
"""Clips: a key frame and its neighbours in time as one item.

A clip item is a window on a video data set, one for each of its images that has the wanted neighbours (the key frames), in the
same order and under the same keys. So pairing, sampling, pseudo-labels and the promise of ``labelled=False`` are those of the
data set inside.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mmengine.dataset import Compose
from torch.utils.data import Dataset

from udatools.datasets.domain_dataset import DomainDataset
from udatools.datasets.flow_io import SUFFIXES, flow_path, missing_files
from udatools.datasets.frame_gaps import common_gaps
from udatools.registry import DATASETS

ENDS = ('drop', 'clamp', 'invalid')


class Frame(NamedTuple):
    """One frame of a video data set.

    Attributes:
        dataset (DomainDataset): That it belongs to.
        position (int): Index in it.
        key (str): Key in it.
        clip (str): Clip it belongs to.
        number (int): In the clip's own numbering.
    """
    dataset: DomainDataset
    position: int
    key: str
    clip: str
    number: int


class FrameIndex:
    """Finds frames by clip and number.

    Args:
        datasets (Sequence[DomainDataset]): Video data sets; where two hold the same frame, the first one counts.

    Raises:
        NotImplementedError: If a data set knows no clips.
        ValueError: If two images of a data set are the same frame.
    """

    def __init__(self, datasets: Sequence[DomainDataset]) -> None:
        self._frames: dict[tuple[str, int], Frame] = {}
        for dataset in datasets:
            own: dict[tuple[str, int], Frame] = {}
            for position, key in enumerate(dataset.keys):
                frame = Frame(dataset, position, key, *dataset.clip_of(key))
                same = own.setdefault(frame[3:], frame)
                if same.position != position:
                    raise ValueError(f'{type(dataset).__name__}: {same.key!r} and {key!r} are both frame {frame.number} of clip '
                                     f'{frame.clip!r}; clip_of must tell them apart')
            self._frames = own | self._frames

    def __getitem__(self, at: tuple[str, int]) -> Frame:
        """The frame of a (clip, number); KeyError without one."""
        return self._frames[at]

    def common_gaps(self) -> str:
        """See :func:`udatools.datasets.frame_gaps.common_gaps`."""
        return common_gaps(self._frames)

    def neighbour(self, frame: Frame, offset: int, ends: str = 'clamp') -> Frame | None:
        """The frame of the same clip that is ``offset`` numbers away.

        Args:
            frame (Frame): A frame of the index.
            offset (int): In frame numbers, negative = earlier.
            ends (str): Where there is no such frame (the clip ends, or has a gap): ``clamp`` gives the one closest to it on the
                way to ``frame``, in the end ``frame`` itself; ``drop`` and ``invalid`` give None.
        """
        found = self._frames.get((frame.clip, frame.number + offset))
        if found is not None or ends != 'clamp':
            return found
        step = 1 if offset < 0 else -1
        return next(self._frames[at] for distance in range(offset + step, step, step)
                    if (at := (frame.clip, frame.number + distance)) in self._frames)


@DATASETS.register_module()
class ClipDataset(Dataset):
    """Clips of the frames of a video data set; a drop-in for it under :class:`UDADataset`.

    Args:
        dataset (dict | DomainDataset): The key frames; its ``clip_of`` says which frames belong together. Without a pipeline.
        frame_offsets (Sequence[int]): Frames of an item relative to the key frame, in frame numbers of the clip; 0 first.
            ``(0, )`` makes clips of one frame. Default: ``(0, -1)``.
        ends (str): Where a frame is missing, see :meth:`FrameIndex.neighbour`. ``drop``: what lacks one is no key frame, though
            it may be the neighbour of others, so that every clip moves; ``clamp`` repeats the nearest one towards the key
            frame and calls it valid; ``invalid`` repeats the key frame without labels and says so in ``frame_valid``. Default:
            ``drop``.
        frames (dict | DomainDataset, optional): More images of the same clips, without ground truth, as neighbours only: where
            few frames are labelled, or ``dataset`` is limited to a ``portion``. Flow is looked for under keys of ``dataset``
            (key frames) and, backwards, of the set that the reference comes from.
        flow (Mapping, optional): ``dict(root=..., backward=False, suffix='.png')``: a precomputed set, see
            :mod:`udatools.datasets.flow_io`; ``backward=True`` reads the flow from the references to the key frame too.
        pipeline (Sequence[dict | Callable]): Transforms of clips, ``LoadClip`` first and ``PackClipInputs`` last.
        **overrides: Arguments of ``dataset`` that replace those of its config (``label_dir`` those of ``frames`` too), so that
            configs of methods that set ``label_dir`` or ``portion`` on a domain reach it.

    Raises:
        FileNotFoundError: If a flow file that an item needs is missing.
        NotImplementedError: If ``dataset`` is no video data set.
        ValueError: If the arguments contradict each other, the class sets of ``dataset`` and ``frames`` differ, or no key frame
            at all has a neighbour at ``frame_offsets``.
    """

    def __init__(self,
                 dataset: dict | DomainDataset,
                 *,
                 frame_offsets: Sequence[int] = (0, -1),
                 ends: str = 'drop',
                 frames: dict | DomainDataset | None = None,
                 flow: Mapping[str, Any] | None = None,
                 pipeline: Sequence[dict | Callable] = (),
                 **overrides: Any) -> None:
        self.frame_offsets = tuple(int(offset) for offset in frame_offsets)
        if self.frame_offsets[:1] != (0, ) or len(set(self.frame_offsets)) != len(self.frame_offsets):
            raise ValueError(f'frame_offsets is {tuple(frame_offsets)}; expected 0 (the key frame) first, then other offsets, '
                             'each once')
        if ends not in ENDS:
            raise ValueError(f'ends is {ends!r}; expected one of {", ".join(ENDS)}')
        self.ends = ends
        self.flow = _check_flow(flow)
        self.dataset: DomainDataset = _build(dataset, overrides)
        only_labels = {'label_dir': overrides['label_dir']} if 'label_dir' in overrides else {}
        self.frames: DomainDataset | None = None if frames is None else _build(frames, only_labels)
        self._check_parts()
        self.pipeline = Compose(list(pipeline))
        self._index = FrameIndex([part for part in (self.dataset, self.frames) if part is not None])
        every = [self._index[self.dataset.clip_of(key)] for key in self.dataset.keys]
        self._key_frames = [frame for frame in every if self._is_whole(frame)] if ends == 'drop' else every
        self._check_neighbours()
        self._check_flow_files()

    def _check_parts(self) -> None:
        for name, part in (('dataset', self.dataset), ('frames', self.frames)):
            if part is not None and part.pipeline.transforms:
                raise ValueError(f'the {name} of a ClipDataset has a pipeline of its own; move its transforms into the pipeline '
                                 'of the ClipDataset, where they are drawn once per clip')
        if self.frames is None:
            return
        if self.frames.labelled:
            raise ValueError('the frames of a ClipDataset have labelled=True; they are neighbours without ground truth: set '
                             'labelled=False, labelled images belong into dataset')
        ours, theirs = (list(part.metainfo['classes']) for part in (self.dataset, self.frames))
        if ours != theirs:
            raise ValueError(f'dataset has {len(ours)} classes and frames {len(theirs)}, or others; give both the same `classes`')

    def _check_neighbours(self) -> None:
        """A key frame may have no neighbour; if none has one, clips are nothing but repeated images."""
        if len(self.frame_offsets) == 1 or any(len({frame.number for frame in self._window(i)[0]}) > 1 for i in range(len(self))):
            return
        offsets = ', '.join(f'{offset:+d}' for offset in self.frame_offsets[1:])
        gaps = self._index.common_gaps()
        raise ValueError(f'no frame of {len(self.dataset)} has a neighbour at {offsets}, so ' + (
                             'there is no clip; ' if self.ends == 'drop' else
                             f'every clip would show one frame {len(self.frame_offsets)} times; ') + (
                             f'frames of a clip are mostly {gaps} numbers apart: set such frame_offsets, or add the frames in '
                             'between' if gaps else 'every clip has one frame only: add the frames in between, to the data or '
                             'with frames=dict(...), or set frame_offsets=(0, )'))

    def _check_flow_files(self) -> None:
        if self.flow is None:
            return
        missing = missing_files(path for i in range(len(self)) for files in self._flow_files(self._window(i)[0]).values()
                                for path in files if path is not None)
        if missing:
            raise FileNotFoundError(f'{len(missing)} flow files of {len(self)} clips are missing, the first is {missing[0]}; '
                                    'compute them with tools/compute_flow.py, or set flow=None')

    # -- items ---------------------------------------------------------------------------------------------------

    def _window(self, idx: int) -> tuple[list[Frame], list[bool]]:
        """The frames that an item shows, and whether each is valid."""
        key_frame = self._key_frames[idx]
        found = [key_frame, *(self._index.neighbour(key_frame, offset, self.ends) for offset in self.frame_offsets[1:])]
        return [frame or key_frame for frame in found], [frame is not None for frame in found]

    def _flow_files(self, shown: Sequence[Frame]) -> dict[str, list[str | None]]:
        """Files of each flow, one a reference, None where the reference is the key frame itself."""
        if self.flow is None or len(shown) == 1:
            return {}
        root, suffix = self.flow['root'], self.flow['suffix']

        def path(start: Frame, end: Frame) -> str | None:
            offset = end.number - start.number
            return str(flow_path(root, start.key, offset, suffix)) if offset else None

        first, *references = shown
        files = {'flow_files': [path(first, frame) for frame in references]}
        if self.flow['backward']:
            files['back_flow_files'] = [path(frame, first) for frame in references]
        return files

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """What the pipeline starts from.

        Args:
            idx (int): Position of the key frame.

        Returns:
            dict: ``images`` (data infos of the frames, see :meth:`DomainDataset.get_data_info`), ``frame_keys``, ``frames``
            (numbers) and ``frame_valid`` (lists of T), ``clip``; with flow ``flow_files`` and, if asked for, ``back_flow_files``
            (T-1 paths, None where the reference is invalid or the key frame itself).
        """
        shown, valid = self._window(idx)
        return dict(
            images=[frame.dataset.get_data_info(frame.position) for frame in shown],
            frame_keys=[frame.key for frame in shown],
            clip=shown[0].clip,
            frames=[frame.number for frame in shown],
            frame_valid=valid,
            **self._flow_files(shown))

    def __getitem__(self, idx: int) -> dict[str, Any]:
        if not 0 <= idx < len(self):
            raise IndexError(f'ClipDataset has {len(self)} clips, got index {idx}')
        return self.pipeline(self.get_data_info(idx))

    def __len__(self) -> int:
        return len(self._key_frames)

    # -- as the data set inside ----------------------------------------------------------------------------------

    def full_init(self) -> None:
        """Nothing is left to do; mmengine asks."""

    @property
    def metainfo(self) -> dict[str, Any]:
        """dict: Classes and palette."""
        return self.dataset.metainfo

    @property
    def labelled(self) -> bool:
        """bool: Whether ground truth of the key frames is read."""
        return self.dataset.labelled

    @property
    def label_dir(self) -> str | None:
        """str | None: Folder of label PNGs."""
        return self.dataset.label_dir

    @property
    def keys(self) -> list[str]:
        """list[str]: Keys of the key frames in dataset order."""
        return [frame.key for frame in self._key_frames]

    def describe(self) -> dict[str, Any]:
        """What ``--dry-run`` prints."""
        about = self.dataset.describe()
        offsets = ', '.join(f'{offset:+d}' if offset else '0' for offset in self.frame_offsets)
        total = len(self.dataset)
        short = total - len(self) if self.ends == 'drop' else sum(not self._is_whole(frame) for frame in self._key_frames)
        what = 'are no key frames, they lack a neighbour' if self.ends == 'drop' else 'lack a neighbour'
        clips = f'{short} of {total} frames ({short / total:.1%}) {what}, ends={self.ends!r}' if short else None
        return dict(about, type=f'{about["type"]} as clips of frames {offsets}', frame_offsets=self.frame_offsets, ends=self.ends,
                    flow=None if self.flow is None else self.flow['root'], clips=clips)

    def _is_whole(self, frame: Frame) -> bool:
        """Whether each wanted neighbour is there."""
        return all(self._index.neighbour(frame, offset, 'invalid') is not None for offset in self.frame_offsets[1:])


def _build(dataset: dict | DomainDataset, overrides: Mapping[str, Any]) -> DomainDataset:
    if isinstance(dataset, Mapping):
        return DATASETS.build(dict(dataset, **overrides))
    if overrides:
        raise ValueError(f'ClipDataset got {", ".join(overrides)} beside a data set that is built already; set them there')
    dataset.full_init()
    return dataset


def _check_flow(flow: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """With defaults filled in; ValueError for what is not understood."""
    if flow is None:
        return None
    settings = dict(backward=False, suffix='.png') | dict(flow)
    if settings.keys() != {'root', 'backward', 'suffix'} or settings['suffix'] not in SUFFIXES:
        raise ValueError(f"flow is {dict(flow)}; expected dict(root=FOLDER, backward=False, suffix='.png'), with a suffix of "
                         f'{", ".join(SUFFIXES)}')
    return settings
