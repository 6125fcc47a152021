# SPDX-License-Identifier: Apache-2.0
"""A made-up work directory with the files that a real run leaves, for the tests of the report."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

CLASSES = ['road', 'building', 'sky', 'car', 'person', 'pole']
PALETTE = [[128, 64, 128], [70, 70, 70], [70, 130, 180], [0, 0, 142], [220, 20, 60], [153, 153, 153]]
ROUNDS, IMAGES, SIZE = 3, 4, (48, 96)


def street(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An image (RGB) and its label map of a few boxes."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    label = np.full(SIZE, 2, np.uint8)
    label[height // 3 : height // 2 + 6] = 1
    label[height // 2 + 4 :] = 0
    for class_id, count, size in ((3, 3, (8, 16)), (4, 2, (12, 4)), (5, 3, (24, 1))):
        for _ in range(count):
            y, x = rng.integers(height // 3, height - size[0]), rng.integers(0, width - size[1])
            label[y : y + size[0], x : x + size[1]] = class_id
    image = np.asarray(PALETTE, np.uint8)[label].astype(np.int64) + rng.integers(-25, 25, (*SIZE, 3)) + 30
    return np.clip(image, 0, 255).astype(np.uint8), label


def results(rounds: int = ROUNDS, name: str = 'spl_toy') -> dict:
    """The content of ``results.json``."""
    total = IMAGES * SIZE[0] * SIZE[1]

    def iou(mean: float) -> dict[str, float]:
        return {c: round(min(99.0, max(0.0, mean + 34 - 13.6 * i)), 2) for i, c in enumerate(CLASSES)}

    stages = [
        dict(
            name=stage,
            round=0,
            metrics=dict(mIoU=mean, IoU=iou(mean)),
            labelled=dict(pixels=0, portion=0.0, points=0, seconds=0.0, classes={}),
            checkpoint=f'stages/{stage}.pth',
        )
        for stage, mean in (('source', 31.2), ('warmup', 36.41))
    ]
    for number in range(1, rounds + 1):
        pixels = 137 * number
        classes = dict(zip(CLASSES, np.diff(np.linspace(0, pixels, len(CLASSES) + 1).astype(int)).tolist()))
        if number == rounds:
            classes['pole'] += 7
            pixels += 7
        mean = [48.3, 51.05, 52.37][number - 1]
        stages.append(
            dict(
                name=f'round{number}_main',
                round=number,
                metrics=dict(mIoU=mean, IoU=iou(mean)),
                labelled=dict(
                    pixels=pixels, portion=pixels / total, points=0, seconds=1210.0 * number, classes=classes
                ),
                checkpoint=f'stages/round{number}_main.pth',
            )
        )
    baselines = [
        dict(name=f'{key}_toy', seed=0, metrics=dict(mIoU=mean, IoU=iou(mean)))
        for key, mean in (('source_only', 31.2), ('adaptsegnet', 36.9), ('supervised', 53.5))
    ]
    return dict(
        schema_version=1,
        name=name,
        seed=0,
        protocol='toy6',
        classes=CLASSES,
        palette=PALETTE,
        stages=stages,
        baselines=baselines,
        final=dict(checkpoint='final/model.pth', config='final/config.py'),
    )


def write_png(path: Path, array: np.ndarray) -> None:
    """Write an RGB image or a map."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array[..., ::-1] if array.ndim == 3 else array)


@pytest.fixture
def toy_results() -> dict:
    """The content of the fake run's ``results.json``."""
    return results()


@pytest.fixture
def fake_run(tmp_path: Path) -> Callable[..., Path]:
    """``fake_run(rounds=3, name='spl_toy')`` writes a work directory and returns it; images lie in ../images."""

    def make(rounds: int = ROUNDS, name: str = 'spl_toy') -> Path:
        work_dir, images = tmp_path / 'run', tmp_path / 'images'
        work_dir.mkdir()
        (work_dir / 'results.json').write_text(json.dumps(results(rounds, name)), encoding='utf-8')
        journal = dict(schema_version=1, run={}, stages={'source': dict(status='done', seconds=61.0)})
        (work_dir / 'journal.json').write_text(json.dumps(journal), encoding='utf-8')
        streets = {f'a/img_{i}': street(i) for i in range(IMAGES)}
        answers = {key: np.full(SIZE, 255, np.uint8) for key in streets}
        rng = np.random.default_rng(0)
        for number in range(1, rounds + 1):
            folder, rows = work_dir / 'requests' / f'round_{number}', []
            for key, (image, label) in streets.items():
                write_png(images / f'{key}.png', image)
                asked = (rng.random(SIZE) < 0.008) & (answers[key] == 255)
                answers[key][asked] = label[asked]
                region = np.zeros(SIZE, np.uint16)
                region[asked] = np.arange(1, asked.sum() + 1)
                write_png(folder / 'masks' / f'{key}.png', region)
                write_png(folder / 'predictions' / f'{key}.png', np.roll(label, 3, axis=1))
                rows.append(dict(key=key, path=f'{key}.png', height=SIZE[0], width=SIZE[1], asked=int(asked.sum())))
            (folder / 'items.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows), encoding='utf-8')
            (folder / 'request.json').write_text(
                json.dumps(dict(round=number, images=IMAGES, total_pixels=IMAGES * SIZE[0] * SIZE[1])), encoding='utf-8'
            )
        for key, answer in answers.items():
            if rounds:
                write_png(work_dir / 'labels' / f'{key}.png', answer)
        return work_dir

    return make
