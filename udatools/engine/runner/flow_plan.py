# SPDX-License-Identifier: Apache-2.0
"""What a run reads of videos: which clips, which pairs of frames need stored flow, and whether it is there before it begins.

Flow is read by clips (``ClipDataset.flow``) and by the aggregation of pseudo-labels (``PseudoLabelHook.aggregation``), each
with offsets of its own and in any of the stages.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from udatools.datasets.clips import ClipDataset, FrameIndex
from udatools.datasets.domain_dataset import DomainDataset
from udatools.datasets.flow_io import flow_path, missing_files
from udatools.pseudo_labels.aggregation import check_flow_config
from udatools.registry import DATASETS

from .stages import Stage, expand_stages, fill_placeholders, merge_stage_config

_CLIP_SETTINGS = {'type', 'dataset', 'frame_offsets', 'ends', 'frames', 'flow', 'pipeline'}


class FlowTask(NamedTuple):
    """Frames of a domain that a config puts side by side.

    Attributes:
        dataset (dict): config of the key frames.
        frames (dict | None): config of more frames, as references.
        offsets (tuple[int, ...]): of the references; empty where the config has no clips.
        ends (str): of :func:`find_pairs`.
        backward (bool): of :func:`find_pairs`.
        root (str | None): folder that the config reads flow from; None where it reads none.
        suffix (str): of the files there.
        clips (bool): whether these are clips; else an aggregation, or single images.
    """
    dataset: dict
    frames: dict | None = None
    offsets: tuple[int, ...] = ()
    ends: str = 'invalid'
    backward: bool = False
    root: str | None = None
    suffix: str = '.png'
    clips: bool = False


def find_tasks(cfg: Config, domain: str, stages: Sequence[Stage]) -> Iterator[FlowTask]:
    """What each stage has of a domain: the training or validation set, and the aggregation of its pseudo-labels.

    Args:
        cfg (Config): as read from its file.
        domain (str): ``'source'``, ``'target'`` or ``'val'``.
        stages (Sequence[Stage]): of the config.

    Raises:
        ValueError: for an aggregation whose flow is not understood.
    """
    work_dir = str(Path(cfg.get('work_dir') or '').resolve())
    for stage in stages:
        values = {'round': str(stage.round), 'work_dir': work_dir}
        merged = merge_stage_config(cfg, stage).to_dict()
        merged = fill_placeholders(merged, lambda name, values=values: values.get(name, f'{{{name}}}'))
        loader = merged.get('val_dataloader' if domain == 'val' else 'train_dataloader') or {}
        data = loader.get('dataset') or {}
        if data := (data if domain == 'val' else data.get(domain)):
            yield _task_of_dataset(data)
        for hook in merged.get('custom_hooks') or ():
            if domain == 'target' and hook.get('type') == 'PseudoLabelHook' and hook.get('aggregation'):
                yield _task_of_hook(hook)


def _task_of_dataset(data: Mapping[str, Any]) -> FlowTask:
    if data.get('type') != 'ClipDataset':
        return FlowTask(_plain(data))
    overrides = {name: value for name, value in data.items() if name not in _CLIP_SETTINGS}
    flow, frames = data.get('flow') or {}, data.get('frames')
    return FlowTask(_plain({**data['dataset'], **overrides}), frames and _plain(frames),
                    tuple(offset for offset in data.get('frame_offsets', (0, -1)) if offset), data.get('ends', 'drop'),
                    flow.get('backward', False), flow.get('root'), flow.get('suffix', '.png'), clips=True)


def _task_of_hook(hook: Mapping[str, Any]) -> FlowTask:
    aggregation = hook['aggregation']
    flow = check_flow_config(aggregation.get('flow'))
    stored = flow if flow['type'] == 'PrecomputedFlow' else {}
    return FlowTask(_plain({**hook['dataset'], 'labelled': False}), offsets=tuple(aggregation.get('offsets', (-1, 1))),
                    backward=aggregation.get('visibility') == 'forward_backward', root=stored.get('root'),
                    suffix=stored.get('suffix', '.png'))


def _plain(dataset: Mapping[str, Any]) -> dict:
    """Without labels on disk, which are written while the run goes on, and pipeline."""
    return {**dataset, 'label_dir': None, 'pipeline': []}


def tasks_of_config(cfg: Config, domain: str) -> list[FlowTask]:
    """What a config reads flow of, over all of its stages; if nothing, its clips, else the first data set of the domain.

    Subsets (``portion``) are left out: flow is computed of all frames.

    Args:
        cfg (Config): as read from its file.
        domain (str): ``'source'``, ``'target'`` or ``'val'``.

    Raises:
        ValueError: when no stage has that domain; as :func:`find_tasks`.
    """
    found: list[FlowTask] = []
    for task in find_tasks(cfg, domain, expand_stages(cfg.get('stages') or [dict(name='train')])):
        whole = task._replace(dataset={name: value for name, value in task.dataset.items() if not name.startswith('portion')})
        if whole not in found:
            found.append(whole)
    if not found:
        raise ValueError(f'the config has no {domain} domain in any of its stages; choose another --domain, or name a data set '
                         'class with --root')
    reading = [task for task in found if task.root is not None]
    return reading or [task for task in found if task.clips][:1] or found[:1]


def task_of_class(name: str, root: str | None, split: str) -> FlowTask:
    """All frames of a split of a data set class, without labels.

    Raises:
        ValueError: when there is no such class, or no root.
    """
    if not isinstance(kind := DATASETS.get(name), type) or not issubclass(kind, DomainDataset):
        raise ValueError(f'{name} is neither a config file (.py) nor a data set class of udatools, such as CamVidDomain')
    if root is None:
        raise ValueError(f'{name} needs --root, the root folder of the data set')
    return FlowTask(dict(type=name, data_root=root, split=split, labelled=False))


class FlowPair(NamedTuple):
    """Two frames of a clip.

    Attributes:
        key (str): of the frame that the flow starts from.
        offset (int): of the other one, in frame numbers of the clip.
        image (str): file of the frame.
        reference (str): file of the other one.
    """
    key: str
    offset: int
    image: str
    reference: str


def find_pairs(dataset: DomainDataset, offsets: Sequence[int], *, frames: DomainDataset | None = None, ends: str = 'invalid',
               backward: bool = False) -> list[FlowPair]:
    """Pairs of frames whose flow is wanted, in the order of the data set.

    Args:
        dataset (DomainDataset): key frames; it knows clips.
        offsets (Sequence[int]): in frame numbers, not 0, each once.
        frames (DomainDataset, optional): more frames of the same clips, as references only.
        ends (str): where a frame is missing, ``'drop'`` leaves out the key frame and ``'clamp'`` adds the pair that a clip data
            set falls back on.
        backward (bool): the way back of every pair too.

    Raises:
        NotImplementedError: when images of the data set stand on their own.
        ValueError: for offsets that are 0, doubled or absent, or without a single pair.
    """
    if not offsets or 0 in offsets or len(set(offsets)) < len(offsets):
        raise ValueError(f'offsets are {list(offsets)}; expected one or more frame numbers, not 0, each once, such as -1 1')
    index = FrameIndex([part for part in (dataset, frames) if part is not None])
    found: dict[tuple[str, int], FlowPair] = {}
    for key in dataset.keys:
        frame = index[dataset.clip_of(key)]
        others = [index.neighbour(frame, offset, ends) for offset in offsets]
        if ends == 'drop' and None in others:
            continue
        for other in others:
            if other is None or other.number == frame.number:
                continue
            for one, two in ((frame, other), (other, frame))[:1 + backward]:
                pair = FlowPair(one.key, two.number - one.number, *(part.dataset.image_path(part.key) for part in (one, two)))
                found.setdefault(pair[:2], pair)
    if not found:
        gaps = index.common_gaps()
        raise ValueError(f'no frame of {len(dataset.keys)} has a neighbour at {", ".join(f"{offset:+d}" for offset in offsets)}; '
                         + (f'frames of a clip are mostly {gaps} numbers apart: give such offsets' if gaps else
                            'every clip has one frame only'))
    return list(found.values())


class FlowFolder(NamedTuple):
    """Flow that belongs into one folder.

    Attributes:
        folder (Path): of it.
        suffix (str): of its files.
        keys (set[str]): of all key frames, with or without a neighbour.
        pairs (list[FlowPair]): whose flow is wanted, each once.
    """
    folder: Path
    suffix: str
    keys: set[str]
    pairs: list[FlowPair]


def collect_pairs(tasks: Sequence[FlowTask], *, offsets: Sequence[int] = (), out: str | os.PathLike[str] | None = None,
                  build: Callable[[dict], DomainDataset] = DATASETS.build) -> list[FlowFolder]:
    """The pairs of all tasks, by the folder of their flow.

    Args:
        tasks (Sequence[FlowTask]): what is read.
        offsets (Sequence[int]): in place of those of the tasks: every pair that there is.
        out (str | PathLike, optional): one folder in place of those of the tasks.
        build (Callable): makes a data set of its config.

    Raises:
        ValueError: when nothing names a folder; as :func:`find_pairs`.
    """
    folders: dict[tuple[Path, str], FlowFolder] = {}
    for task in tasks:
        if (root := out or task.root) is None:
            raise ValueError('nothing says where the flow belongs: no clips with flow=dict(root=...), and no aggregation of '
                             'stored flow; give --out')
        at = Path(root), task.suffix
        dataset, frames = build(task.dataset), None if task.frames is None else build(task.frames)
        found = find_pairs(dataset, offsets or task.offsets, frames=frames, ends='invalid' if offsets else task.ends,
                           backward=task.backward)
        known = folders.get(at, FlowFolder(*at, set(), []))
        pairs = {pair[:2]: pair for pair in (*known.pairs, *found)}
        folders[at] = FlowFolder(*at, known.keys | set(dataset.keys), list(pairs.values()))
    return list(folders.values())


def check_videos(cfg: Config, stages: Sequence[Stage]) -> None:
    """Looks before a run whether its clips have neighbours, and whether the flow that they and aggregations read is stored.

    Folders are listed, no file is opened; flow that is estimated while the run goes on needs nothing.

    Args:
        cfg (Config): as read from its file, or with it merged.
        stages (Sequence[Stage]): those still to be run.

    Raises:
        DatasetLayoutError, ValueError, KeyError: as the data sets.
        FileNotFoundError: for missing flow; says the command that computes it.
    """
    kept: list[tuple[dict, DomainDataset]] = []

    def build(dataset: dict) -> DomainDataset:
        found = next((built for known, built in kept if known == dataset), None)
        if found is None:
            found = DATASETS.build(dict(dataset))
            kept.append((dataset, found))
        return found

    for domain in ('source', 'target'):
        tasks: list[FlowTask] = []
        for task in find_tasks(cfg, domain, stages):
            if task.offsets and (task.clips or task.root) and task not in tasks:
                tasks.append(task)
        for task in tasks:
            if task.clips:
                ClipDataset(build(task.dataset), frame_offsets=(0, *task.offsets), ends=task.ends,
                            frames=None if task.frames is None else build(task.frames))
        for wanted in collect_pairs([task for task in tasks if task.root], build=build):
            missing = missing_files(flow_path(wanted.folder, pair.key, pair.offset, wanted.suffix) for pair in wanted.pairs)
            if missing:
                raise FileNotFoundError(
                    f'{len(missing)} of {len(wanted.pairs)} flow files of the {domain} are missing, the first is {missing[0]}; '
                    f'compute them with\n  python tools/compute_flow.py {cfg.filename or "CONFIG"}'
                    f'{" --domain source" if domain == "source" else ""}\n(tools/compute_flow.py takes the same --cfg-options as '
                    'the training)')
