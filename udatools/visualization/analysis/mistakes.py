# SPDX-License-Identifier: Apache-2.0
"""The sections of the analysis page about mistakes: what the final models confuse, where, and how right pseudo-labels were."""

import math
import statistics
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt
import torch

from udatools.evaluation.images import class_precision, largest_confusions
from udatools.visualization import panels
from udatools.visualization.analysis.charts import Line, confusion_chart, line_chart
from udatools.visualization.analysis.pseudo_labels import PseudoLabelRounds
from udatools.visualization.analysis.runs import Method
from udatools.visualization.analysis.sections import HALF, NARROW, WIDE, legend, number
from udatools.visualization.analysis.validation import Validation, Validator
from udatools.visualization.page import data_url, figure, heat_cell, section, swatch, table
from udatools.visualization.tables import human_count

__all__ = ['confusions', 'pseudo_labels', 'worst_images']

PAIRS = 12  # confusions in the table of a method
NAMED = 3  # confusions that are named below an image
CELL_PX = 320  # width of a picture


def confusions(label: str, found: Sequence[Validation]) -> str:
    """The matrix of a method, its seeds added up, and its largest confusions.

    Args:
        label (str): of the method.
        found (Sequence[Validation]): one a seed.
    """
    conf = torch.stack([validation.reported() for validation in found]).sum(0)
    names = found[0].names
    wide, narrow = (confusion_chart(conf, names, width) for width in (WIDE, NARROW))
    if not wide:
        return ''
    pairs = largest_confusions(conf, names, PAIRS, by='pixels')
    rows = [[f'<th scope="row">{escape(pair.truth)}</th>', f'<td>{escape(pair.predicted)}</td>',
             f'<td>{100 * pair.share:.1f} %</td>', f'<td>{human_count(pair.pixels)}</td>'] for pair in pairs]
    header = ['class', *names, *(['other'] if bool(conf[:, len(names):].any()) else [])]
    counts = table(header, [[f'<th scope="row">{escape(name)}</th>', *[f'<td>{count:,}</td>' for count in row[:len(header) - 1]]]
                            for name, row in zip(names, conf.tolist())])
    scores = ' / '.join(number(validation.miou()) for validation in found)
    note = (f'{found[0].model} on the {len(found[0].keys)} validation images, mIoU {scores}. A row is the ground truth of a '
            'class, a column what it is taken for; the numbers of a row are percent of its pixels. Blue is right, red is wrong; '
            'errors are drawn stronger than they are (the root of their share), so that small ones can be seen.')
    note += ' Pixels of all seeds together.' if len(found) > 1 else ''
    body = figure(wide, narrow)
    if rows:
        body += f'<h3>Most pixels</h3>{table(["true class", "taken for", "of the class", "pixels"], rows)}'
    return section(f'Confusions: {label}', f'{body}<details><summary>All counts</summary>{counts}</details>', note)


def worst_images(label: str, found: Sequence[Validation], validator: Validator, count: int) -> str:
    """Image, ground truth, prediction and errors of the images with the lowest mIoU of their own.

    Args:
        label (str): of the method.
        found (Sequence[Validation]): one a seed; images are ranked by their mean.
        validator (Validator): of the first of them: predicts again what is shown.
        count (int): at most this many images.
    """
    by_seed = [validation.image_scores() for validation in found]
    scores = {key: statistics.mean(scores[key] for scores in by_seed) for key in by_seed[0]}
    ranked = sorted((key for key in scores if math.isfinite(scores[key])), key=lambda key: (scores[key], key))[:count]
    rows = []
    for key in ranked:
        cells = error_cells(validator.image(key), validator.truth(key), validator.predict(key), validator.palette)
        figures = ''.join(
            f'<figure><img alt="{name} of {escape(key, quote=True)}" width="{cell.shape[1]}" height="{cell.shape[0]}" '
            f'src="{data_url(cell)}"><figcaption>{name}</figcaption></figure>' for name, cell in cells.items())
        of_image = found[0].of_image(key)
        labelled = max(1, int(of_image.sum()))
        pairs = '; '.join(f'{pair.truth} taken for {pair.predicted} ({pair.pixels / labelled:.1%} of the image)'
                          for pair in largest_confusions(of_image, found[0].names, NAMED, by='pixels'))
        seeds = f' <span>by seed {" / ".join(number(one[key]) for one in by_seed)}</span>' if len(by_seed) > 1 else ''
        rows.append(f'<div class="panel"><div class="panel-title"><b>mIoU {scores[key]:.1f}</b>{seeds} <span>{escape(key)}</span>'
                    f'<br>{escape(pairs)}</div><div class="cells">{figures}</div></div>')
    if not rows:
        return ''
    keys = ''.join(f'<span>{swatch(colour)}{escape(name)}</span>'
                   for name, colour in zip(validator.predictor.classes, validator.palette))
    middle = statistics.median(score for score in scores.values() if math.isfinite(score))
    note = (f'Lowest mean IoU over the classes in the image\'s own ground truth; the median image has {middle:.1f}. In the last '
            'picture only wrong pixels have a colour, that of the class predicted.')
    note += ' Predictions are those of the first seed.' if len(found) > 1 else ''
    return section(f'Worst images: {label}', f'<div class="key">{keys}</div>{"".join(rows)}', note)


def error_cells(image: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8],
                palette: Sequence[Sequence[int]]) -> dict[str, npt.NDArray[np.uint8]]:
    """Pictures of one image, uint8 RGB of one size.

    Args:
        image (ndarray): uint8, (H, W, 3), RGB.
        truth (ndarray): uint8, (H, W), 255 = ignore.
        predicted (ndarray): uint8, (H, W).
        palette (Sequence[Sequence[int]]): of the classes.
    """
    size = panels.panel_size(truth.shape[0], truth.shape[1], CELL_PX)
    small = panels.resize_image(image, size)
    truth, predicted = panels.resize_label(truth, size), panels.resize_label(predicted, size)
    wrong = np.where((truth != panels.IGNORE) & (truth != predicted), predicted, panels.IGNORE)
    return {'image': small, 'ground truth': panels.colourise(truth, palette), 'prediction': panels.colourise(predicted, palette),
            'wrong pixels': panels.overlay(panels.fade(small), wrong, palette, 1.0)}


def pseudo_labels(methods: Sequence[Method], rounds: Mapping[str, PseudoLabelRounds]) -> str:
    """How much was kept, and how much of it is right, by class and round.

    Args:
        methods (Sequence[Method]): whose order the curves have.
        rounds (Mapping[str, PseudoLabelRounds]): by label of the method; methods without pseudo-labels are missing.
    """
    if not rounds:
        return ''
    scored = any(found.confusions for found in rounds.values())
    kept, right = [], []
    for method in methods:
        found = rounds.get(method.label, PseudoLabelRounds())
        kept.append(Line(method.label, [_points({k: 100 * found.kept_share(k) for k in found.coverage})]))
        right.append(Line(method.label, [_points({k: 100 * found.precision(k) for k in found.confusions})]))
    charts = []
    for title, lines in (('share kept', kept), ('precision', right)):
        wide, narrow = (line_chart(lines, 'round', f'{title}, %', dots=True, percent=True, whole=True, width=width, height=240)
                        for width in (HALF, NARROW))
        charts.append(f'<div class="small">{figure(wide, narrow)}</div>' if wide else '')
    body = legend(kept) + f'<div class="pair">{"".join(charts)}</div>'
    for method in methods:
        if method.label not in rounds:
            continue
        found = rounds[method.label]
        tables = _class_tables(found, method)
        body += tables if len(rounds) == 1 else f'<details><summary>{escape(method.label)} by class</summary>{tables}</details>'
    note = 'Kept: share of the pixels predicted as a class that became labels.'
    if scored:
        note += (' Precision: share of the kept pixels of a class that are right, by ground truth of the target that was opened '
                 'for this page alone; whoever chooses a setting by it no longer adapts without labels.')
    else:
        note += ' How right they are takes ground truth of the target; --truth opens it, for this page alone.'
    note += ' Pixels of all seeds together.' if any(len(method.runs) > 1 for method in methods) else ''
    return section('Pseudo-labels', body, note)


def _points(values: Mapping[int, float]) -> list[tuple[float, float, float, float]]:
    return [(float(k), value, value, value) for k, value in values.items() if math.isfinite(value)]


def _class_tables(found: PseudoLabelRounds, method: Method) -> str:
    palette = dict(zip(method.runs[0].run.classes, method.runs[0].run.palette))
    numbers = list(found.coverage)
    names = list(next(iter(found.coverage.values()))['classes'])
    header = ['class', *[f'kept {k}' for k in numbers], *[f'right {k}' for k in found.confusions]]
    precision = {k: dict(zip(found.classes, (100 * class_precision(conf)).tolist())) for k, conf in found.confusions.items()}
    rows = []
    for name in names:
        cells = [heat_cell(100 * found.class_share(k, name)) for k in numbers]
        cells += [heat_cell(precision[k].get(name, math.nan)) for k in found.confusions]
        mark = swatch(palette[name]) if name in palette else ''
        rows.append([f'<th scope="row">{mark}{escape(name)}</th>', *cells])
    foot = ['<th scope="row">all pixels</th>', *[heat_cell(100 * found.kept_share(k)) for k in numbers],
            *[heat_cell(100 * found.precision(k)) for k in found.confusions]]
    return table(header, rows, foot=foot, first_baseline=1 + len(numbers) if found.confusions else None)
