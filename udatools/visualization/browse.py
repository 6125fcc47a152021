# SPDX-License-Identifier: Apache-2.0
"""Pictures of what the network will see: the items of training, step by step.

Items are those of training: the same seed, counters, permutations and augmentation (:class:`UDADataset`), and the batches of one
process. The last step is the output of the data preprocessor for the whole batch with the normalisation taken back. A clip has a
row for each of its frames; those of references end in the flow from the key frame to them.
"""
from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from udatools.datasets import UDADataset
from udatools.engine.runner.stages import Stage, expand_stages, fill_placeholders, merge_stage_config
from udatools.registry import DATASETS, MODELS
from udatools.utils.atomic import write_bytes_atomic
from udatools.utils.rng import derive_seed, scoped_rng

from . import panels
from .flow_colours import colourise_flow

IGNORE = 255
ROWS = 6  # of a picture
SPARSE = 0.05  # below this labelled share, single pixels are drawn thicker

# A step: caption, image as uint8 (H, W, 3) RGB, label as uint8 (H, W) train ids, or None before it is loaded.
Step = tuple[str, np.ndarray, np.ndarray | None]


def choose_stage(cfg: Config, name: str | None) -> Stage:
    """The stage of that name, or the first of that kind; by default the last one."""
    stages = expand_stages(cfg.get('stages') or [dict(name='train')])
    if name is None:
        return stages[-1]
    found = [stage for stage in stages if stage.name == name] + [stage for stage in stages if stage.kind == name]
    if not found:
        raise ValueError(f'there is no stage {name!r}; the stages are {", ".join(stage.name for stage in stages)}')
    return found[0]


def prepare_stage(cfg: Config, stage: Stage, work_dir: str) -> Config:
    """The training loader and the preprocessor of a stage, references and placeholders filled in."""
    merged = merge_stage_config(cfg, stage)
    values = {'work_dir': work_dir, 'round': str(stage.round)}
    wanted = dict(train_dataloader=merged.train_dataloader.to_dict(), data_preprocessor=merged.model.data_preprocessor.to_dict())
    return Config(fill_placeholders(wanted, lambda name: values[name]))


def walk(dataset: UDADataset, domain: str, counter: int, frame: int = 0) -> list[Step]:
    """Runs one item through its pipeline, keeping what it looks like after each transform.

    Args:
        dataset (UDADataset): Its seed is that of the run.
        domain (str): ``source`` or ``target``.
        counter (int): >= 0.
        frame (int): Of a clip: 0 = key frame.

    Returns:
        list[Step]: One for each transform until the item is packed; of a reference with flow, one more with its colours.

    Raises:
        RuntimeError: If the packed item is not the one that training gets, because a transform remembers earlier items.
    """
    images = dataset.domains[domain]
    steps: list[Step] = []
    with scoped_rng(*dataset.load(domain, counter)[1]):
        results: Any = images.get_data_info(dataset.domain_index(domain, counter))
        for transform in images.pipeline.transforms:
            results = transform(results)
            if results is None:
                raise RuntimeError(f'{type(transform).__name__} gave nothing for counter {counter} of the {domain} domain')
            shown = results['images'][frame] if 'images' in results else results
            if 'img' in shown:  # transforms change arrays in place; both conversions copy
                label = shown.get('gt_seg_map')
                steps.append((type(transform).__name__, to_uint8(shown['img'])[:, :, ::-1],
                              None if label is None else label.astype(np.uint8)))
    if frame and 'flow' in results['data_samples']:
        flow, valid = (results['data_samples'].get(name).data[frame - 1].numpy() for name in ('flow', 'flow_valid'))
        steps.append(('flow to this frame', colourise_flow(flow, valid), None))
    if not torch.equal(results['inputs'], dataset[counter]['inputs'][domain]):
        raise RuntimeError(f'counter {counter} of the {domain} domain comes out differently when it is loaded again; a transform '
                           'keeps state or draws from a generator of its own')
    return steps


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Any (H, W, 3) array in 0..255 as a uint8 array of its own."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def network_inputs(dataset: UDADataset, preprocessor: torch.nn.Module, counters: list[int], seed: int) -> dict[str, list[Step]]:
    """What the preprocessor makes of a batch, with the normalisation taken back.

    Args:
        dataset (UDADataset): Where items come from.
        preprocessor (nn.Module): ``UDADataPreprocessor`` or another one of mmseg that takes nested batches.
        counters (list[int]): Of one iteration.
        seed (int): That torch is seeded with in this iteration.

    Returns:
        dict[str, list[Step]]: Domain -> a step for each counter; of clips for each frame of each counter.
    """
    batch = pseudo_collate([dataset[counter] for counter in counters])
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)
        batch = preprocessor(batch, True)
    steps: dict[str, list[Step]] = {}
    for domain, inputs in batch['inputs'].items():
        if preprocessor._enable_normalize:
            inputs = inputs * preprocessor.std + preprocessor.mean
        pixels = inputs.permute(0, 2, 3, 1).cpu().numpy()
        if not preprocessor._channel_conversion:  # the order of files is BGR
            pixels = pixels[..., ::-1]
        samples = batch['data_samples'][domain]
        labels = [sample.gt_sem_seg.data[0].numpy().astype(np.uint8) if 'gt_sem_seg' in sample else None for sample in samples]
        steps[domain] = [('input of the network', to_uint8(image), label) for image, label in zip(pixels, labels)]
    return steps


def text(image: np.ndarray, line: str, *, height: int = 18, grey: int = 255, scale: float = 1.0) -> np.ndarray:
    """The image with a line of text above it, cut to its width."""
    strip = np.full((round(height * scale), image.shape[1], 3), grey, np.uint8)
    line = line.encode('ascii', 'replace').decode()
    cv2.putText(strip, line, (2, round((height - 6) * scale)), cv2.FONT_HERSHEY_SIMPLEX, 0.38 * scale, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([strip, image])


def draw_label(image: np.ndarray, label: np.ndarray, palette: list, size: tuple[int, int]) -> np.ndarray:
    """The label over its image; what is not labelled is grey and dark. uint8 RGB of ``size`` (height, width)."""
    small, back = panels.resize_label(label, size), panels.resize_image(image, size)
    if (label != IGNORE).mean() < SPARSE:
        small = panels.thicken(small, 1)
    return np.where((small != IGNORE)[..., None], panels.overlay(back, small, palette, 0.65), panels.dim(back))


def draw_row(title: str, steps: list[Step], palette: list, width: int) -> np.ndarray:
    """One item: a column a step, image above label."""
    columns = []
    for caption, image, label in steps:
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        shown = panels.resize_image(image, (height, width))
        parts = [text(shown, f'{caption}  {image.shape[1]}x{image.shape[0]}')]
        if label is not None:
            parts.append(draw_label(image, label, palette, (height, width)))
        columns.append(panels.vstack(parts, gap_px=2))
    tallest = max(column.shape[0] for column in columns)
    padded = [np.pad(column, ((0, tallest - column.shape[0]), (0, 0), (0, 0)), constant_values=255) for column in columns]
    return text(panels.hstack(padded, gap_px=6), title, grey=215)


def draw_legend(classes: list[str], palette: list, width: int, scale: float = 1.0) -> np.ndarray:
    """Names of the classes on their colours, in as many lines as the width needs."""
    lines: list[np.ndarray] = []
    line: list[np.ndarray] = []
    used, size, margin = 0, 0.38 * scale, round(6 * scale)
    for name, colour in zip(classes, palette):
        label = name.encode('ascii', 'replace').decode()
        (wide, _), _ = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
        cell = np.full((round(18 * scale), min(width, wide + 2 * margin), 3), colour, np.uint8)
        ink = (0, 0, 0) if np.dot(colour, (0.299, 0.587, 0.114)) > 110 else (255, 255, 255)
        cv2.putText(cell, label, (margin, round(13 * scale)), cv2.FONT_HERSHEY_SIMPLEX, size, ink, 1, cv2.LINE_AA)
        if line and used + cell.shape[1] + 2 > width:
            lines.append(panels.hstack(line, gap_px=2))
            line, used = [], 0
        line.append(cell)
        used += cell.shape[1] + 2
    lines.append(panels.hstack(line, gap_px=2))
    return panels.vstack(lines, gap_px=2)


def browse(cfg: Config, stage: Stage, *, out: Path, work_dir: str, domain: str = 'both', count: int = 4, start: int = 0,
           width: int = 240) -> list[Path]:
    """Writes the pictures of a stage.

    Args:
        cfg (Config): The run's config.
        stage (Stage): One of its stages.
        out (Path): Folder to write to.
        work_dir (str): What ``{work_dir}`` stands for: where pseudo-labels and answers are looked for.
        domain (str): ``source``, ``target`` or ``both``.
        count (int): Items of each domain.
        start (int): Counter of the first one.
        width (int): Of a column, in pixels.

    Returns:
        list[Path]: The pictures.

    Raises:
        ValueError: If the stage has no such domain, or a number is out of range.
    """
    if count < 1 or start < 0 or width < 32:
        raise ValueError(f'got count={count}, start={start}, width={width}; expected at least 1, 0 and 32')
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    prepared = prepare_stage(cfg, stage, work_dir)
    loader = prepared.train_dataloader
    dataset = DATASETS.build(loader['dataset'])
    if not isinstance(dataset, UDADataset):
        raise ValueError(f'the training set of {stage.name} is a {type(dataset).__name__}; expected a UDADataset')
    seed = int((cfg.get('randomness') or {}).get('seed') or 0)
    dataset.set_seed(seed)
    wanted = [name for name in dataset.domains if domain in (name, 'both')]
    if not wanted:
        raise ValueError(f'stage {stage.name} trains without the {domain} domain; it has {", ".join(dataset.domains)}')
    preprocessor = MODELS.build(copy.deepcopy(prepared.data_preprocessor.to_dict()))
    batch_size = loader['batch_size']
    counters = range(start, start + count)
    final: dict[str, dict[int, list[Step]]] = {name: {} for name in wanted}
    for iteration in range(counters[0] // batch_size, counters[-1] // batch_size + 1):
        batch = list(range(iteration * batch_size, (iteration + 1) * batch_size))  # whole: a preprocessor may mix its images
        steps = network_inputs(dataset, preprocessor, batch, derive_seed(seed, 'model', stage.name, iteration, 0))
        for name in wanted:
            frames = len(steps[name]) // len(batch)
            final[name].update((counter, steps[name][i * frames:(i + 1) * frames]) for i, counter in enumerate(batch))
    palette, classes = dataset.metainfo['palette'], list(dataset.metainfo['classes'])
    written = []
    for name in wanted:
        rows = []
        for counter in counters:
            key = dataset.domains[name].keys[dataset.domain_index(name, counter)]
            title = f'{name}  counter {counter}, iteration {counter // batch_size}  {key}'
            offsets = getattr(dataset.domains[name], 'frame_offsets', None) or (0, )
            for frame, last in enumerate(final[name][counter]):
                part_of = f'  at {offsets[frame]:+d}' if frame else ''
                rows.append(draw_row(title + part_of, [*walk(dataset, name, counter, frame), last], palette, width))
        for first in range(0, len(rows), ROWS):
            part = rows[first:first + ROWS]
            legend = draw_legend(classes, palette, max(row.shape[1] for row in part))
            path = out / f'{name}_{first // ROWS + 1}.png'
            write_bytes_atomic(path, panels.encode_png(panels.vstack([*part, legend])))
            written.append(path)
    return written
