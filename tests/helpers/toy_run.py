# SPDX-License-Identifier: Apache-2.0
"""A work directory with the files that a run of self-training leaves, put together by hand in a moment: no training."""
import json
from functools import cache
from pathlib import Path

import numpy as np
from shrink import REPO, shrink
from tiny_network import write_network

from udatools.datasets.taxonomies import get_class_set
from udatools.registry import DATASETS
from udatools.utils.atomic import write_json_atomic, write_png_atomic

CLASSES = get_class_set('cityscapes19')
STAGES = ('source', 'round1_main', 'round2_main')
SCORES = {'source': 30.0, 'round1_main': 34.0, 'round2_main': 40.0}
ITERATIONS = 100


def line(stage, done, losses, total=ITERATIONS):
    """A line of ``ProgressHook`` in a log file."""
    return f'2026/01/01 10:00:00 - mmengine - INFO - [1/3] {stage}  {done}/{total}  {losses}  0.12 s/it  0:05 left\n'


def point(step, part, values):
    """A line of ``CurveHook`` in ``scalars.json``."""
    return json.dumps({f'{part}/{name}': value for name, value in values.items()} | dict(iter=step, step=step)) + '\n'


@cache
def _config(places, seed):
    cfg = shrink(REPO / 'configs' / 'cbst' / 'cbst_minidrive.py', data=dict(places), work_dir=Path('unused'), items=4, seed=seed)
    return cfg, cfg.pretty_text


def toy_run(folder, data, *, seed=0, name='cbst_toy', done=3, shift=0.0, weights=True):
    """Writes a run of CBST whose first ``done`` stages are finished, the next one half-way.

    Every pseudo-label of round k is right in the left ``k / 4`` of the image and class 0 (road) in the next quarter; the rest is
    not kept.

    Args:
        folder (Path): where to.
        data (dict): ``tiny_data``.
        seed (int): of the run and its network.
        name (str): of the run.
        done (int): finished stages.
        shift (float): added to every mIoU.
        weights (bool): write the newest checkpoint, with the network of the seed.

    Returns:
        Path: ``folder``.
    """
    folder.mkdir(parents=True)
    cfg, text = _config(tuple(sorted(data.items())), seed)
    (folder / 'config.py').write_text(text)
    journal = dict(schema_version=1, run=dict(name=name, seed=seed, stages=list(STAGES)), stages={})
    results = dict(schema_version=1, name=name, seed=seed, protocol='cityscapes19', classes=list(CLASSES.classes),
                   palette=[list(colour) for colour in CLASSES.palette], stages=[], baselines=[], final={})
    for number, stage in enumerate(STAGES[:done + 1]):
        place = folder / 'stages' / f'{number:02d}_{stage}'
        log = place / '20260101_100000' / '20260101_100000.log'
        log.parent.mkdir(parents=True)
        steps = (50, 100) if number < done else (50, )
        values = {step: seed + 1 / (number + step / 50) for step in steps}
        log.write_text(''.join(line(stage, step, f'source.main {value:.4g}') for step, value in values.items()))
        points = [point(step, 'train', {'loss': value, 'source.loss_main': value, 'segmentor.lr': 0.01, 'time': 0.1})
                  for step, value in values.items()]
        if number < done:
            points.append(point(ITERATIONS, 'val', {'mIoU': SCORES[stage] + shift, 'IoU/road': 1.0}))
        (place / 'vis_data').mkdir()
        (place / 'vis_data' / 'scalars.json').write_text(''.join(points))
        if number == done:
            journal['stages'][stage] = dict(status='running')
            continue
        if weights and number == done - 1 < len(STAGES) - 1:
            write_network(place, seed, classes=list(CLASSES.classes), palette=results['palette'], stage=True)
            (place / 'iter_1.pth').rename(place / f'iter_{ITERATIONS}.pth')
        miou = SCORES[stage] + shift
        metrics = dict(mIoU=miou, IoU={one: miou + i - 9 for i, one in enumerate(CLASSES.classes)})
        checkpoint = f'stages/{number:02d}_{stage}/iter_{ITERATIONS}.pth'
        journal['stages'][stage] = dict(status='done', checkpoint=checkpoint, metrics=dict(mIoU=miou))
        results['stages'].append(dict(name=stage, round=number, metrics=metrics, checkpoint=checkpoint,
                                      labelled=dict(pixels=0, portion=0.0, points=0, seconds=0.0, classes={})))
    if weights and done == len(STAGES):
        write_network(folder / 'final', seed, classes=list(CLASSES.classes), palette=results['palette'])
    if done:
        write_json_atomic(folder / 'results.json', results)
    write_json_atomic(folder / 'journal.json', journal)
    target = DATASETS.build(dict(cfg.target_train_labelled, pipeline=[]))
    for number in range(1, done):
        kept = 0
        for key in target.keys:
            label = target.load_label(key)
            quarter = label.shape[1] // 4
            label[:, number * quarter:] = 255
            label[:, number * quarter:(number + 1) * quarter] = 0
            kept += int((label != 255).sum())
            write_png_atomic(folder / 'pseudo_labels' / f'round_{number}' / 'labels' / f'{key}.png', label)
        pixels = len(target.keys) * 64 * 32
        table = {one: dict(predicted=100, kept=10 * number, kept_share=0.1 * number) for one in CLASSES.classes}
        table['train'] = dict(predicted=0, kept=0, kept_share=None)
        (folder / 'pseudo_labels' / f'round_{number}' / 'coverage.json').write_text(json.dumps(
            dict(images=len(target.keys), pixels=pixels, kept_pixels=kept, kept_share=kept / pixels, classes=table)))
    return folder


def truth_of(folder):
    """{key: train ids} of the labelled twin of the run's target, read once more."""
    from mmengine.config import Config

    from udatools.engine.runner.stages import resolve_references
    cfg = resolve_references(Config.fromfile(str(folder / 'config.py')))
    target = DATASETS.build(dict(cfg.target_train_labelled, pipeline=[]))
    return {key: np.asarray(target.load_label(key)) for key in target.keys}
