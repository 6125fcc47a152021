# SPDX-License-Identifier: Apache-2.0
"""VPQ and VPQ^s of files on disk, whatever tool wrote them (``tools/eval_vpq.py``).

Ground truth and prediction are each a panoptic set (JSON and PNGs, :mod:`udatools.evaluation.panoptic_io`) or, for
VPQ^s, a folder of semantic PNGs that hold train ids. Clips are scored in parallel and merged in order of their names, so
the result does not depend on the number of processes.

Classes follow a protocol: ground truth of classes that it does not report is void, predictions of them predict nothing.
Under a protocol the stuff segments of a frame that it merges into one class become one segment; things keep their ids.
"""
from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from udatools.datasets.taxonomies import ClassSpec, get_class_set
from udatools.evaluation.panoptic_io import (
    MAX_ID,
    Category,
    PanopticFrame,
    PanopticSet,
    clip_of_name,
    read_panoptic_png,
    read_panoptic_set,
)
from udatools.evaluation.protocols import Protocol, get_protocol
from udatools.evaluation.vpq import VOID, WINDOWS, ClipScorer, Segments, VPQStats, count_frame, semantic_segments, summarise_vpq
from udatools.utils.png import read_png


class LabelFile(NamedTuple):
    """A label map on disk and what its ids mean."""
    path: str
    panoptic: bool
    segments: Segments

    def read(self) -> np.ndarray:
        """Returns the ids, integer (H, W)."""
        if self.panoptic:
            return read_panoptic_png(self.path)
        label = read_png(self.path)
        if label.ndim != 2:
            raise ValueError(f'{self.path} has {label.shape[2]} channels; expected one channel of train ids. Colours are not '
                             'scored; a panoptic set is given by its JSON')
        return label


class FramePair(NamedTuple):
    """The two label maps of a labelled frame."""
    frame: int
    gt: LabelFile
    pred: LabelFile


class VPQResult(NamedTuple):
    """What :func:`score_files` found.

    Attributes:
        name (str): ``VPQ`` or ``VPQs``.
        stats (VPQStats): Over all clips.
        protocol (Protocol): What the classes follow.
        things (tuple[bool, ...] | None): Which classes are things; None for VPQ^s.
        extra (int): Predicted frames that the ground truth does not label; they are not read.
    """
    name: str
    stats: VPQStats
    protocol: Protocol
    things: tuple[bool, ...] | None
    extra: int


def panoptic_segments(frame: PanopticFrame, categories: Mapping[int, tuple[int, bool]], merge_stuff: bool = False,
                      semantic: bool = False) -> Segments:
    """Describes the ids of a panoptic PNG.

    Args:
        frame (PanopticFrame): Its segments.
        categories (Mapping): Category id -> (class 0..C-1 or -1 for one that is not reported, whether it is a thing).
        merge_stuff (bool): Make one segment of the stuff segments of a class. Default: False.
        semantic (bool): Make one segment of every class, crowds included. Default: False.

    Raises:
        ValueError: If a segment has an unknown category, the id of void or that of another segment.
    """
    rows = [(VOID, VOID, -1, False)]
    for number, category, crowd in frame.segments:
        if category not in categories:
            raise ValueError(f'{frame.path}: segment {number} has category_id {category}; the set has the categories '
                             f'{", ".join(map(str, sorted(categories)))}')
        cls, thing = categories[category]
        if cls < 0:
            rows.append((number, VOID, -1, False))
        elif semantic:
            rows.append((number, cls + 1, cls, False))
        else:
            rows.append((number, number if thing or not merge_stuff else MAX_ID + 1 + cls, cls, crowd))
    rows.sort()
    numbers = [row[0] for row in rows]
    if twice := sorted({number for number, after in zip(numbers, numbers[1:]) if number == after}):
        raise ValueError(f'{frame.path}: segments_info lists the id {twice[0]} twice (0 is void); every segment needs its '
                         'own')
    table: np.ndarray = np.array(rows, dtype=np.int64)
    return Segments(table[:, 0], table[:, 1], table[:, 2], table[:, 3].astype(bool))


class _Side(NamedTuple):
    """One of the two sets: its files by (clip, frame), and by image id where it is panoptic."""
    files: dict[tuple[str, int], LabelFile]
    ids: dict[str, tuple[str, int]]


def _panoptic_side(content: PanopticSet, protocol: Protocol, categories: Sequence[Category], merge_stuff: bool,
                   semantic: bool) -> _Side:
    assignment = protocol.assignment([one.name for one in categories])
    reported = len(protocol.classes)
    table = {one.id: (cls if cls < reported else -1, one.isthing) for one, cls in zip(categories, assignment)}
    files = {(one.clip, one.frame): LabelFile(one.path, True, panoptic_segments(one, table, merge_stuff, semantic))
             for one in content.frames}
    return _Side(files, {str(one.image_id): (one.clip, one.frame) for one in content.frames})


def _semantic_side(folder: Path, protocol: Protocol, classes: Sequence[str], pattern: re.Pattern[str] | None) -> _Side:
    segments = semantic_segments(protocol.assignment(classes), len(protocol.classes))
    files: dict[tuple[str, int], LabelFile] = {}
    for path in sorted(folder.rglob('*.png')):
        identity = clip_of_name(path.relative_to(folder).as_posix(), pattern)
        if identity in files:
            raise ValueError(f'{files[identity].path} and {path} are both frame {identity[1]} of clip {identity[0]!r}; keep '
                             'one kind of file in the folder, or say with --clip-pattern how names tell clip and frame')
        files[identity] = LabelFile(str(path), False, segments)
    if not files:
        raise FileNotFoundError(f'{folder} holds no PNG; expected a folder of semantic PNGs (train ids), or a panoptic JSON')
    return _Side(files, {})


def _classes_of_predictions(folder: Path, default: Sequence[str], given: Sequence[str] | None) -> Sequence[str]:
    """What the train ids of predictions mean: as given, or as the claim of the tool that wrote them says."""
    for claim in (folder / 'predictions.json', folder.parent / 'predictions.json'):
        try:
            written = json.loads(claim.read_text(encoding='utf-8'))['classes']
        except (OSError, ValueError, TypeError, KeyError):
            continue
        if not isinstance(written, list) or not all(isinstance(name, str) for name in written):
            continue  # of some other tool
        if given is not None and list(given) != list(written):
            raise ValueError(f'{claim} says that the train ids of {folder} are {", ".join(written)}, but --pred-classes '
                             f'{", ".join(given)}; leave --pred-classes out')
        return written
    return default if given is None else given


def _find_json(path: Path) -> Path | None:
    """The panoptic JSON that a path means, None for a folder without one."""
    if path.suffix == '.json':
        return path
    if not path.is_dir():
        raise FileNotFoundError(f'{path} does not exist; expected a panoptic JSON, the folder that holds it, or (for VPQ^s) a '
                                'folder of semantic PNGs')
    found = sorted(path.glob('*.json'))
    if len(found) > 1:
        raise ValueError(f'{path} holds {len(found)} JSON files, such as {found[0].name}; give the one to score')
    return found[0] if found else None


def _same_categories(gt: PanopticSet, pred: PanopticSet) -> None:
    """Predictions may lack categories, not have others."""
    names = {one.id: one.name for one in gt.categories}
    for one in pred.categories:
        if names.get(one.id) != one.name:
            raise ValueError(f'category {one.id} is {one.name!r} in {pred.path}, {names.get(one.id, "nothing")!r} in {gt.path}; '
                             'write predictions with the category ids of the ground truth')


def _join(gt: _Side, pred: _Side) -> tuple[dict[str, list[FramePair]], int]:
    """Pairs by clip, in order; and how many predicted frames are not labelled. By image id where both sets have one."""
    clips: dict[str, list[FramePair]] = {}
    missing = []
    identities = {identity: name for name, identity in gt.ids.items()}
    for clip, frame in sorted(gt.files):
        key = pred.ids.get(identities.get((clip, frame), ''), (clip, frame))
        found = pred.files.get(key)
        if found is None or not Path(found.path).is_file():
            missing.append(f'frame {frame} of clip {clip!r}' if found is None else found.path)
        else:
            clips.setdefault(clip, []).append(FramePair(frame, gt.files[clip, frame], found))
    if missing:
        raise FileNotFoundError(f'predictions are missing for {len(missing)} of {len(gt.files)} labelled frames, the first: '
                                f'{", ".join(missing[:3])}. VPQ needs every labelled frame: predict all of them')
    return clips, len(pred.files) - len(gt.files)


def score_clip(pairs: Sequence[FramePair], num_classes: int, windows: Sequence[int] = WINDOWS) -> VPQStats:
    """Scores the frames of one clip in order, reading every file once.

    Raises:
        ValueError: If sizes differ or a PNG holds an id that is not defined; names both files.
    """
    scorer = ClipScorer(num_classes, windows)
    for pair in pairs:
        gt, pred = pair.gt.read(), pair.pred.read()
        try:
            counts = count_frame(gt, pred, pair.gt.segments, pair.pred.segments)
        except ValueError as error:
            raise ValueError(f'cannot score {pair.pred.path} against {pair.gt.path}: {error}') from None
        scorer.add(counts)
    return scorer.stats


def score_files(gt: str | Path, pred: str | Path, *, protocol: ClassSpec | None = None, semantic: bool = False,
                classes: ClassSpec = 'cityscapes19', pred_classes: ClassSpec | None = None, gt_png: str | Path | None = None,
                pred_png: str | Path | None = None, clip_pattern: str | None = None, windows: Sequence[int] = WINDOWS,
                nproc: int = 1) -> VPQResult:
    """Scores a predicted video set against ground truth.

    Args:
        gt (str | Path): Panoptic JSON, a folder with exactly one, or with ``semantic`` a folder of semantic PNGs.
        pred (str | Path): The same. Frames are joined by image id if both are panoptic, else by clip and frame number.
        protocol (str | Mapping, optional): Reported classes, as :func:`get_protocol`. By default the categories of the ground
            truth; with ``semantic`` those of ``classes``.
        semantic (bool): Score VPQ^s: every class is one segment. Default: False, VPQ.
        classes (str | Mapping): Class set of semantic PNGs: what train ids mean. Default: ``cityscapes19``.
        pred_classes (str | Mapping, optional): That of the predictions, where it is another one. By default what the
            ``predictions.json`` of tools/infer.py beside or one above the folder says, else ``classes``.
        gt_png, pred_png (str | Path, optional): Folders of the panoptic PNGs, as :func:`read_panoptic_set`.
        clip_pattern (str, optional): Regular expression, as :func:`clip_of_name`.
        windows (Sequence[int]): Lengths in labelled frames. Default: 1, 2, 3, 4.
        nproc (int): Processes, at least 1; changes nothing but the time. Default: 1.

    Raises:
        FileNotFoundError: If a set, or the prediction of a labelled frame, is missing.
        ValueError: If classes, sizes or ids do not fit; names the file.
    """
    from udatools.datasets.preparation.prepare import map_pairs  # not above: it imports the engine, which imports this package
    pattern = None if clip_pattern is None else re.compile(clip_pattern)
    if pattern is not None and not {'clip', 'frame'} <= set(pattern.groupindex):
        raise ValueError(f'the clip pattern {clip_pattern!r} lacks the groups (?P<clip>...) and (?P<frame>...)')
    gt_json, pred_json = _find_json(Path(gt)), _find_json(Path(pred))
    if not semantic and (gt_json is None or pred_json is None):
        raise FileNotFoundError(f'{gt if gt_json is None else pred} holds no panoptic JSON, which VPQ needs; semantic '
                                'label maps are scored by VPQ^s: --semantic')
    truth = None if gt_json is None else read_panoptic_set(gt_json, gt_png, pattern)
    predicted = None if pred_json is None else read_panoptic_set(pred_json, pred_png, pattern)
    categories = truth.categories if truth else predicted.categories if predicted else ()
    if truth and predicted:
        _same_categories(truth, predicted)

    class_set = get_class_set(classes)
    if protocol is not None:
        used = get_protocol(protocol)
    elif semantic:
        used = get_protocol(class_set)
    else:
        used = Protocol('categories', f'The categories of {gt}.', {one.name: (one.name, ) for one in categories})

    def side(content: PanopticSet | None, folder: str | Path, names: Sequence[str]) -> _Side:
        if content is None:
            return _semantic_side(Path(folder), used, names, pattern)
        return _panoptic_side(content, used, categories, protocol is not None, semantic)

    clips, extra = _join(side(truth, gt, class_set.classes), side(predicted, pred, _classes_of_predictions(
        Path(pred), class_set.classes, None if pred_classes is None else get_class_set(pred_classes).classes)))
    num_classes = len(used.classes)
    total = VPQStats.empty(num_classes, windows)
    work = partial(score_clip, num_classes=num_classes, windows=tuple(windows))
    try:
        for stats in map_pairs(work, list(clips.values()), nproc):
            total = total + stats
    except ValueError as error:  # of another process: its traceback is of no use here
        raise ValueError(str(error)) from error
    is_thing = {one.name: one.isthing for one in categories}
    things = None if semantic else tuple(any(is_thing.get(name, False) for name in members) for members in used.members.values())
    return VPQResult('VPQs' if semantic else 'VPQ', total, used, things, extra)


def report(result: VPQResult) -> dict[str, Any]:
    """Returns what ``--json`` writes: metrics in percent (None where nothing occurs), and the counts behind them."""
    stats, names = result.stats, result.protocol.classes
    metrics = summarise_vpq(stats, names, result.name, result.things)
    counts = {name: {f'{length}': dict(tp=int(stats.tp[w, c]), fp=int(stats.fp[w, c]), fn=int(stats.fn[w, c]),
                                       iou_sum=float(stats.iou[w, c])) for w, length in enumerate(stats.windows)}
              for c, name in enumerate(names)}
    return dict(schema_version=1, metric=result.name, protocol=result.protocol.name, clips=stats.clips, frames=stats.frames,
                windows={f'{length}': int(scored) for length, scored in zip(stats.windows, stats.scored)},
                metrics={key: None if math.isnan(value) else value for key, value in metrics.items()}, counts=counts)
