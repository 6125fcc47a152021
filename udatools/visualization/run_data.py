# SPDX-License-Identifier: Apache-2.0
"""What the report knows about a run: a tolerant reader of the work directory described in ``docs/architecture.md``.

Only ``results.json`` is required. Everything else (journal, requests, labels, images) may be missing or half-written,
as in a run without active labelling, one that was stopped, or a work directory that was copied without its data.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ['Baseline', 'Panel', 'RunData', 'Stage', 'load_panels', 'load_run']


@dataclass
class Stage:
    """One evaluated stage; percentages 0..100 for IoU, ``portion`` in [0, 1] of all native target pixels.

    ``pixels``, ``points``, ``seconds`` and ``class_pixels`` count all answers up to this stage, not those of the round.
    """

    name: str
    round: int
    miou: float
    iou: dict[str, float]
    pixels: int = 0
    portion: float = 0.0
    points: int = 0
    seconds: float = 0.0
    class_pixels: dict[str, int] = field(default_factory=dict)
    checkpoint: str = ''


@dataclass
class Baseline:
    """A baseline run, averaged over its seeds."""

    name: str
    miou: float
    iou: dict[str, float]
    seeds: list[int]


@dataclass
class Panel:
    """One image of a round with what is on disk for it; arrays are native resolution, absent ones None."""

    round: int
    key: str
    image: npt.NDArray[np.uint8] | None
    prediction: npt.NDArray | None
    mask: npt.NDArray | None
    answer: npt.NDArray | None
    asked_pixels: int


@dataclass
class RunData:
    """A run as the report sees it."""

    work_dir: Path
    name: str
    seed: int | None
    protocol: str
    classes: list[str]
    palette: list[list[int]]
    stages: list[Stage]
    baselines: list[Baseline]
    requests: dict[int, dict[str, Any]]
    journal: dict[str, Any]
    image_root: Path | None
    class_frequency: dict[str, float]
    frequency_source: str
    raw: dict[str, Any]

    @property
    def final(self) -> Stage | None:
        """The last evaluated stage."""
        return self.stages[-1] if self.stages else None

    @property
    def rounds(self) -> list[Stage]:
        """The last evaluated stage of each round, in order: the result of the round."""
        last = {stage.round: stage for stage in self.stages}
        return [last[number] for number in sorted(last)]

    @property
    def supervised(self) -> Baseline | None:
        """The upper bound: training on all target labels."""
        return next((b for b in self.baselines if 'supervised' in b.name and 'unsupervised' not in b.name), None)

    @property
    def source_only(self) -> float | None:
        """mIoU without adaptation: of the baseline, else of the stage of that name."""
        for baseline in self.baselines:
            if 'source_only' in baseline.name:
                return baseline.miou
        return next((stage.miou for stage in self.stages if stage.name in ('source', 'source_only')), None)

    def round_class_pixels(self) -> list[tuple[int, dict[str, int]]]:
        """Answered pixels per class of each round alone (differences of the cumulative counts)."""
        per_round, before = [], dict.fromkeys(self.classes, 0)
        for stage in self.rounds:
            counts = {name: stage.class_pixels.get(name, 0) for name in self.classes}
            new = {name: max(0, counts[name] - before[name]) for name in self.classes}
            if sum(new.values()):
                per_round.append((stage.round, new))
            before = counts
        return per_round


def _number(value: Any, default: float = math.nan) -> float:
    """``value`` as a float; ``default`` when it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return default


def _count(value: Any) -> int:
    number = _number(value, 0.0)
    return int(number) if math.isfinite(number) else 0


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _stage(record: Mapping[str, Any]) -> Stage:
    metrics, labelled = _mapping(record.get('metrics')), _mapping(record.get('labelled'))
    return Stage(
        name=str(record.get('name', '?')),
        round=_count(record.get('round')),
        miou=_number(metrics.get('mIoU')),
        iou={str(name): _number(value) for name, value in _mapping(metrics.get('IoU')).items()},
        pixels=_count(labelled.get('pixels')),
        portion=_number(labelled.get('portion', 0.0), 0.0),
        points=_count(labelled.get('points')),
        seconds=_number(labelled.get('seconds', 0.0), 0.0),
        class_pixels={str(name): _count(value) for name, value in _mapping(labelled.get('classes')).items()},
        checkpoint=str(record.get('checkpoint') or ''),
    )


def _baselines(records: list[Mapping[str, Any]]) -> list[Baseline]:
    """Average the baselines of one name over their seeds; an IoU that is not a number does not count."""
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        grouped.setdefault(str(record.get('name', '?')), []).append(record)
    baselines = []
    for name, group in grouped.items():
        stages = [_stage(record) for record in group]
        values = [stage.miou for stage in stages if math.isfinite(stage.miou)]
        iou = {}
        for class_name in {key: None for stage in stages for key in stage.iou}:
            known = [stage.iou[class_name] for stage in stages if math.isfinite(stage.iou.get(class_name, math.nan))]
            iou[class_name] = sum(known) / len(known) if known else math.nan
        seeds = [_count(record.get('seed')) for record in group if record.get('seed') is not None]
        baselines.append(Baseline(name, sum(values) / len(values) if values else math.nan, iou, seeds))
    return baselines


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _read_items(path: Path) -> list[dict[str, Any]]:
    """The rows of an ``items.jsonl``; a last line that is cut off is left out."""
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except OSError:
        return []
    items = []
    for line in lines:
        try:
            item = json.loads(line)
        except ValueError:
            continue
        if isinstance(item, dict) and 'key' in item:
            items.append(item)
    return items


def _read_map(path: Path) -> npt.NDArray | None:
    """A one-channel PNG as it is stored (uint8 or uint16), or None."""
    if not path.is_file():
        return None
    array = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return array if array is not None and array.ndim == 2 else None


def _read_image(candidates: Iterator[Path]) -> npt.NDArray[np.uint8] | None:
    """The first of the files that is an image, RGB, or None."""
    for path in candidates:
        if path.is_file():
            bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if bgr is not None:
                return np.asarray(bgr[..., ::-1], np.uint8)
    return None


def _request_dirs(work_dir: Path) -> dict[int, Path]:
    dirs = {}
    for path in (work_dir / 'requests').glob('round_*'):
        number = path.name.removeprefix('round_')
        if path.is_dir() and number.isdigit():
            dirs[int(number)] = path
    return dict(sorted(dirs.items()))


def pseudo_label_folders(work_dir: Path) -> dict[int, Path]:
    """Folders of pseudo-labels by the number of their round: ``pseudo_labels/round_K``, then those of a later phase.

    Args:
        work_dir (Path): of a run; TPLD's second phase, in ``second_phase_1``, counts on after the last ``round_K``.
    """
    found = [path.parent for path in (work_dir / 'pseudo_labels').glob('*_*/coverage.json')
             if path.parent.name.rpartition('_')[2].isdigit()]
    numbered: dict[int, Path] = {}
    for path in sorted(found, key=lambda path: (not path.name.startswith('round_'), int(path.name.rpartition('_')[2]))):
        own = path.name.removeprefix('round_')
        numbered[int(own) if own.isdigit() else max(numbered, default=0) + 1] = path
    return numbered


def _predicted_frequency(work_dir: Path, classes: list[str]) -> tuple[dict[str, float], str]:
    """Share of each class in what the model predicted, and over what; ground truth is no business of a report.

    The pseudo-labels of the last round count every pixel of the target set; failing that, the predictions stored with
    the requests count a few images.
    """
    for directory in reversed(pseudo_label_folders(work_dir).values()):
        rows = _mapping(_read_json(directory / 'coverage.json').get('classes'))
        predicted = {str(name): _count(_mapping(row).get('predicted')) for name, row in rows.items()}
        total = sum(predicted.values())
        if total and set(classes) <= set(predicted):
            return {name: predicted[name] / total for name in classes}, 'its share of all target pixels, as predicted'
    counts = np.zeros(256, np.int64)
    for directory in _request_dirs(work_dir).values():
        for path in sorted((directory / 'predictions').rglob('*.png')):
            prediction = _read_map(path)
            if prediction is not None and prediction.dtype == np.uint8:
                counts += np.bincount(prediction.ravel(), minlength=256)
    total = int(counts[: len(classes)].sum())
    if not total:
        return {}, ''
    return {
        name: float(counts[i] / total) for i, name in enumerate(classes)
    }, 'its predicted share of the images shown below'


def _configured_image_root(work_dir: Path) -> Path | None:
    """The folder that keys of target images are relative to, by ``target_images`` of the run's config, or None."""
    path = work_dir / 'config.py'
    if not path.is_file():
        return None
    from mmengine.config import Config
    from mmseg.registry import DATASETS

    from udatools.engine.runner.stages import resolve_references

    try:
        dataset = dict(resolve_references(Config.fromfile(path, import_custom_modules=False))['target_images'])
        # Lazy: nothing is listed or opened, labels least of all.
        dataset.update(labelled=False, label_dir=None, pipeline=[], lazy_init=True)
        return Path(DATASETS.build(dataset).image_root())
    except Exception:  # a report without photographs is better than none, whatever is wrong with an old config
        return None


def load_run(work_dir: str | Path, image_root: str | Path | None = None) -> RunData:
    """Read what the report needs.

    Args:
        work_dir (str | Path): the work directory of a run.
        image_root (str | Path | None): folder that the keys of the target images are relative to; None takes it from
            ``target_images`` in the run's ``config.py``.

    Returns:
        RunData: of the run.

    Raises:
        FileNotFoundError: there is no ``results.json``.
        ValueError: ``results.json`` is not a JSON object.
    """
    work_dir = Path(work_dir)
    path = work_dir / 'results.json'
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist; expected the work directory of a run that has evaluated at least one '
            f'stage, run tools/train.py first'
        )
    raw = _read_json(path)
    if not raw:
        raise ValueError(f'{path} is not a JSON object with content; it is rewritten by tools/train.py --resume')
    stages = [_stage(record) for record in raw.get('stages') or [] if isinstance(record, Mapping)]
    classes = [str(name) for name in raw.get('classes') or []]
    if not classes:
        classes = list(dict.fromkeys(name for stage in stages for name in stage.iou))
    palette = [[_count(v) & 255 for v in colour][:3] for colour in raw.get('palette') or []]
    # A palette that is too short gets greys; better a dull picture than none.
    palette += [[round(255 * (i + 1) / (len(classes) + 1))] * 3 for i in range(len(palette), len(classes))]
    frequency = {str(name): _number(v, 0.0) for name, v in _mapping(raw.get('class_frequency')).items()}
    total = sum(frequency.values())
    source = 'its share of all target pixels'
    if total > 0:
        frequency = {name: value / total for name, value in frequency.items()}
    else:
        frequency, source = _predicted_frequency(work_dir, classes)
    return RunData(
        work_dir=work_dir,
        name=str(raw.get('name') or work_dir.resolve().name),
        seed=None if raw.get('seed') is None else _count(raw['seed']),
        protocol=str(raw.get('protocol', '')),
        classes=classes,
        palette=palette,
        stages=stages,
        baselines=_baselines([record for record in raw.get('baselines') or [] if isinstance(record, Mapping)]),
        journal=_read_json(work_dir / 'journal.json'),
        image_root=Path(image_root) if image_root is not None else _configured_image_root(work_dir),
        requests={number: _read_json(path / 'request.json') for number, path in _request_dirs(work_dir).items()},
        class_frequency=frequency,
        frequency_source=source if frequency else '',
        raw=raw,
    )


def _same_size(reference: npt.NDArray | None, array: npt.NDArray | None) -> npt.NDArray | None:
    """``array`` unless its size differs from the reference's, as it does in a work directory put together by hand."""
    return None if reference is not None and array is not None and reference.shape[:2] != array.shape[:2] else array


def load_panels(run: RunData, limit: int = 8) -> list[Panel]:
    """Read the images of the panels: in every round those whose prediction was stored, else those asked most about.

    An image that an earlier round shows comes last, so that the panels show as many images as they can.

    Args:
        run (RunData): from :func:`load_run`.
        limit (int): at most this many panels altogether.

    Returns:
        list[Panel]: ordered by round, then by key.
    """
    dirs = _request_dirs(run.work_dir)
    panels: list[Panel] = []
    shown: set[str] = set()
    for position, (number, directory) in enumerate(dirs.items()):
        quota = (limit - len(panels)) // (len(dirs) - position)
        items = {str(item['key']): item for item in _read_items(directory / 'items.jsonl')}
        for path in sorted((directory / 'masks').rglob('*.png')):
            items.setdefault(path.relative_to(directory / 'masks').with_suffix('').as_posix(), {})
        stored = [key for key in items if (directory / 'predictions' / f'{key}.png').is_file()]
        ranked = sorted(stored or items, key=lambda key: (key in shown, -_count(items[key].get('asked')), key))
        for key in sorted(ranked[:quota]):
            panel = _load_panel(run, number, directory, key, items[key])
            if panel is not None:
                panels.append(panel)
                shown.add(key)
    return panels


def _load_panel(run: RunData, number: int, directory: Path, key: str, item: Mapping[str, Any]) -> Panel | None:
    """Read one panel; None when nothing of it is on disk."""

    def image_files() -> Iterator[Path]:
        names = [Path(str(item['path']))] if item.get('path') else []
        names += [Path(f'{key}{suffix}') for suffix in ('.png', '.jpg', '.jpeg')]
        for root in (run.image_root, directory / 'images', run.work_dir):
            if root is not None:
                yield from (root / name for name in names)  # an absolute name stays as it is

    image = _read_image(image_files())
    prediction = _same_size(image, _read_map(directory / 'predictions' / f'{key}.png'))
    reference = image if image is not None else prediction
    mask = _same_size(reference, _read_map(directory / 'masks' / f'{key}.png'))
    answer = _same_size(reference if reference is not None else mask, _read_map(run.work_dir / 'labels' / f'{key}.png'))
    if answer is not None and mask is not None:
        answer = np.where(mask > 0, answer, 255).astype(np.uint8)  # of this round; the file has those of all rounds
    if image is None and prediction is None and mask is None:
        return None
    return Panel(number, key, image, prediction, mask, answer, int(np.count_nonzero(mask)) if mask is not None else 0)
