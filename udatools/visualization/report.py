# SPDX-License-Identifier: Apache-2.0
"""The report of a run: one self-contained HTML page and a few PNGs, made from the files of the work directory.

The page loads nothing from anywhere: style, charts (SVG) and pictures (PNG) are in the file, there is no script, and it
follows the light or dark theme of the reader. A piece whose files are missing is left out.
"""

import math
import os
import tempfile
from html import escape
from pathlib import Path

from udatools.active.costs import CostModel
from udatools.visualization import charts
from udatools.visualization.labelling import run_costs
from udatools.visualization.page import data_url, document, figure, heat_cell, section, swatch, table, tiles
from udatools.visualization.panels import encode_png, hstack, panel_cells, vstack
from udatools.visualization.run_data import Panel, RunData, Stage, load_panels, load_run
from udatools.visualization.tables import common_suffix, format_results_table, human_count, human_seconds, percent

__all__ = ['format_results_table', 'write_report']

WIDE, NARROW = 980, 350
CAPTIONS = {'image': 'image', 'prediction': 'prediction', 'mask': 'asked (inconsistency mask)', 'answer': 'answer'}


def write_report(work_dir: str | Path, image_root: str | Path | None = None, max_panels: int = 8) -> Path:
    """Write ``report/index.html``, ``curve.png`` and ``panels.png`` next to it; replaces an earlier report.

    Args:
        work_dir (str | Path): the work directory of a run; ``results.json`` must be there.
        image_root (str | Path | None): folder that the keys of the target images are relative to; None takes it from
            the run's own config.
        max_panels (int): at most this many images.

    Returns:
        Path: of the page.

    Raises:
        FileNotFoundError: there is no ``results.json``.
        ValueError: ``results.json`` is damaged.
    """
    run = load_run(work_dir, image_root)
    report_dir = run.work_dir / 'report'
    report_dir.mkdir(parents=True, exist_ok=True)
    for name in ('curve.png', 'panels.png'):
        (report_dir / name).unlink(missing_ok=True)
    panels = load_panels(run, max_panels)
    parts = [
        _headline(run),
        _curve(run),
        _classes(run),
        _answers(run),
        _panels(run, panels, report_dir),
        _cost(run),
        _settings(run),
    ]
    page = document(f'{run.name}: report', run.name, _subtitle(run), [part for part in parts if part])
    path = report_dir / 'index.html'
    _write_atomic(path, page.encode('utf-8'))
    from udatools.visualization.overview import write_overview

    write_overview(run, report_dir / 'curve.png')
    return path


def _write_atomic(path: Path, content: bytes) -> None:
    """Replace a file in one step, so that a reader never sees half of it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f'.{path.name}.', delete=False) as file:
        file.write(content)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


# -- names ---------------------------------------------------------------------------------------------------------


def baseline_labels(run: RunData) -> dict[str, str]:
    """Baseline name -> what the report calls it: without the ending that the run's name shares, words apart."""
    suffix = common_suffix([run.name, *[baseline.name for baseline in run.baselines]])
    labels = {}
    for baseline in run.baselines:
        text = baseline.name.removesuffix(suffix).replace('_', ' ')
        if len(set(baseline.seeds)) > 1:
            text += f' (mean of {len(set(baseline.seeds))} seeds)'
        labels[baseline.name] = text
    return labels


def stage_label(stage: Stage, run: RunData) -> str:
    """What the report calls a stage: ``round 2`` for the result of a round, else its own name with words apart."""
    if stage.round and stage in run.rounds:
        return f'round {stage.round}'
    return stage.name.replace('_', ' ')


def _number(value: float, digits: int = 1) -> str:
    return f'{value:.{digits}f}' if math.isfinite(value) else '–'


def _points(count: int) -> str:
    return human_count(count) if count else '–'


# -- sections ------------------------------------------------------------------------------------------------------


def _subtitle(run: RunData) -> str:
    pieces = [f'{len(run.classes)} classes'] if run.classes else []
    pieces += [f'protocol {run.protocol}'] if run.protocol else []
    pieces += [f'seed {run.seed}'] if run.seed is not None else []
    done = run.final.round if run.final else 0
    pieces += [f'{done} labelling round{"s" if done != 1 else ""}'] if done else []
    return ' · '.join(pieces)


def _headline(run: RunData) -> str:
    final = run.final
    if final is None:
        return section('No result yet', '<p>No stage has been evaluated.</p>')
    chosen = _chosen_checkpoints(run)
    items = [('mIoU on the target', _number(final.miou), ', '.join([stage_label(final, run), *chosen]))]
    if final.portion:
        images = [request.get('images') for request in run.requests.values() if request.get('images')]
        of = f' in {images[-1]:,} images' if images else ''
        items.append(('labelled', percent(final.portion), f'{human_count(final.pixels)} pixels{of}'))
    supervised = run.supervised
    if supervised is not None and supervised.miou > 0:
        items.append(
            (
                'of fully supervised',
                f'{final.miou / supervised.miou:.1%}',
                f'{_number(supervised.miou)} mIoU with every label',
            )
        )
    source_only = run.source_only
    if source_only is not None and math.isfinite(source_only) and not (len(run.stages) == 1 and not run.baselines):
        items.append(
            ('over source only', f'{final.miou - source_only:+.1f}', f'points of mIoU, from {_number(source_only)}')
        )
    if final.seconds:
        items.append(
            (
                'labelling time',
                human_seconds(final.seconds),
                f'{human_count(final.points)} points' if final.points else 'estimated or measured per answer',
            )
        )
    return tiles(items)


def _chosen_checkpoints(run: RunData) -> list[str]:
    """A sentence for each stage whose checkpoint was chosen; says so where target labels were looked at."""
    from udatools.evaluation.model_selection import describe_selection

    return [describe_selection(str(record.get('name', '?')), record['selection'])
            for record in run.raw.get('stages') or [] if record.get('selection')]


def _curve(run: RunData) -> str:
    labels = baseline_labels(run)
    baselines = {labels[baseline.name]: baseline.miou for baseline in run.baselines}
    rounds = run.rounds
    if any(stage.portion for stage in run.stages):
        points = [
            charts.Point(stage_label(stage, run), stage.portion, stage.miou, main=stage in rounds)
            for stage in run.stages
        ]
        drawn = figure(
            charts.learning_curve(points, baselines, WIDE, 400), charts.learning_curve(points, baselines, NARROW, 330)
        )
        return section(
            'Accuracy against labels', drawn, 'Each point is an evaluated stage; dashed lines are baselines.'
        )
    values = {stage_label(stage, run): stage.miou for stage in run.stages} | baselines
    if not any(math.isfinite(value) for value in values.values()):
        return ''
    run_label = stage_label(run.stages[-1], run) if run.stages else ''
    drawn = figure(charts.value_bars(values, run_label, WIDE), charts.value_bars(values, run_label, NARROW))
    return section('Accuracy', drawn, 'mIoU of every evaluated stage of this run and of the baselines.')


def _classes(run: RunData) -> str:
    """The table of IoU by class and stage, shaded by value."""
    stages = [stage for stage in run.stages if stage.iou]
    labels = baseline_labels(run)
    columns = [(stage_label(stage, run), stage.iou, stage.miou) for stage in stages]
    columns += [(labels[baseline.name], baseline.iou, baseline.miou) for baseline in run.baselines if baseline.iou]
    if not columns:
        return ''
    names = [name for name in run.classes if any(name in iou for _, iou, _ in columns)]
    names += [name for name in dict.fromkeys(key for _, iou, _ in columns for key in iou) if name not in names]
    gain = len(stages) > 1
    header = [
        'class',
        *[label for label, _, _ in columns[: len(stages)]],
        *(['gain'] if gain else []),
        *[label for label, _, _ in columns[len(stages) :]],
    ]

    def cell(index: int, value: float) -> str:
        return heat_cell(value, ' edge' if index == len(stages) and stages else '')

    def cells(values: list[float]) -> list[str]:
        shaded = [cell(index, value) for index, value in enumerate(values)]
        if gain:
            change = values[len(stages) - 1] - values[0]
            css = 'up' if change > 0.05 else 'down' if change < -0.05 else ''
            text = f'{change:+.1f}' if math.isfinite(change) else '–'
            shaded.insert(len(stages), f'<td class="gain {css}">{text}</td>')
        return shaded

    rows = [
        [
            f'<th scope="row">{_swatch(run, name)}{escape(name)}</th>',
            *cells([iou.get(name, math.nan) for _, iou, _ in columns]),
        ]
        for name in names
    ]
    mean = ['<th scope="row">mean</th>', *cells([miou for _, _, miou in columns])]
    note = 'IoU in percent; the stronger the shade, the higher.' + (
        ' Gain: the last stage over the first.' if gain else ''
    )
    return section(
        'Classes',
        table(
            header,
            rows,
            foot=mean,
            first_baseline=len(stages) + (1 if gain else 0) + 1 if len(columns) > len(stages) else None,
        ),
        note,
    )


def _swatch(run: RunData, name: str) -> str:
    if name not in run.classes:
        return ''
    return swatch(run.palette[run.classes.index(name)])


def _answers(run: RunData) -> str:
    counts = run.round_class_pixels()
    if not counts:
        return ''
    shares = [(number, {name: count / sum(row.values()) for name, count in row.items()}) for number, row in counts]
    if len(shares) > 6:
        shares = shares[-6:]
    frequency = {name: share for name, share in run.class_frequency.items() if name in run.classes}
    drawn = figure(
        charts.class_bars(shares, frequency, run.classes, WIDE),
        charts.class_bars(shares, frequency, run.classes, NARROW),
    )
    keys = ''.join(
        f'<span><i class="swatch round" style="opacity:{charts.round_strength(i, len(shares)):.2f}">'
        f'</i>round {number}</span>'
        for i, (number, _) in enumerate(shares)
    )
    if frequency:
        keys += f'<span><i class="swatch tick"></i>{escape(run.frequency_source)}</span>'
    note = 'Share of each class in the answers of each round.'
    if frequency:
        note += (
            ' The factor compares the last round with the frequency: above 1, a class was asked more than it occurs.'
        )
    return section('What was asked', f'<div class="key">{keys}</div>{drawn}', note)


def _panels(run: RunData, panels: list[Panel], report_dir: Path) -> str:
    rows, pictures = [], []
    for panel in panels:
        cells = panel_cells(run.palette, panel.image, panel.prediction, panel.mask, panel.answer)
        if not cells:
            continue
        pictures.append(hstack(list(cells.values())))
        images = ''.join(
            f'<figure><img alt="{escape(CAPTIONS[name])} of {escape(panel.key, quote=True)}" width="{cell.shape[1]}" '
            f'height="{cell.shape[0]}" src="{data_url(cell)}">'
            f'<figcaption>{escape(CAPTIONS[name])}</figcaption></figure>'
            for name, cell in cells.items()
        )
        title = f'<b>round {panel.round}</b> <span>{escape(panel.key)}</span>'
        if panel.mask is not None:
            title += (
                f' <span>{panel.asked_pixels:,} pixels asked, {percent(panel.asked_pixels / panel.mask.size)}</span>'
            )
        rows.append(f'<div class="panel"><div class="panel-title">{title}</div><div class="cells">{images}</div></div>')
    if not rows:
        return ''
    _write_atomic(report_dir / 'panels.png', encode_png(vstack(pictures)))
    legend = ''.join(f'<span>{_swatch(run, name)}{escape(name)}</span>' for name in run.classes)
    return section(
        'Questions and answers',
        f'<div class="key">{legend}</div>' + ''.join(rows),
        'Single pixels are thickened to be seen. The prediction is that of the model that asked.',
    )


def _cost_row(name: str, pixels: float, portion: float, points: int, seconds: float, miou: float) -> list[str]:
    cells = human_count(pixels), percent(max(0.0, portion)), _points(points), human_seconds(seconds), _number(miou)
    return [f'<th scope="row">{name}</th>', *[f'<td>{cell}</td>' for cell in cells]]


def _cost(run: RunData) -> str:
    """The table of labelling cost by round, against labelling everything."""
    asked = [stage for stage in run.rounds if stage.pixels or stage.points]
    if not asked:
        return ''
    rows = []
    before = Stage('', 0, 0.0, {})
    for stage in asked:
        costs = stage.pixels - before.pixels, stage.portion - before.portion, stage.points - before.points
        rows.append(_cost_row(f'round {stage.round}', *costs, stage.seconds - before.seconds, stage.miou))
        before = stage
    last = asked[-1]
    foot = _cost_row('all rounds', last.pixels, last.portion, last.points, last.seconds, last.miou)
    request = next((request for request in reversed(run.requests.values()) if request.get('images')), None)
    total = request.get('total_pixels') if request else last.pixels / last.portion if last.portion else None
    supervised, full = run.supervised, None
    note = 'Seconds are those recorded with the answers: measured for people, a model for the oracle.'
    if total:
        image_seconds = run_costs(run.work_dir).image_seconds
        seconds = image_seconds * request['images'] if request else math.nan
        full = _cost_row('full labelling', total, 1, 0, seconds, supervised.miou if supervised else math.nan)
        if request and seconds:
            figure_of = ', the figure for Cityscapes' if image_seconds == CostModel.image_seconds else ''
            note += (f' Full labelling: {request["images"]:,} images at {human_seconds(image_seconds)} each{figure_of}; '
                     f'this run took {percent(min(1.0, last.seconds / seconds))} of it.')
    return section(
        'Cost of the labels',
        table(['round', 'pixels', 'share', 'points', 'time', 'mIoU'], rows, foot=foot, after=full),
        note,
    )


def _settings(run: RunData) -> str:
    from udatools.compat import installed_versions
    from udatools.version import __version__

    journal = run.journal.get('stages') or {}
    pairs = [('run', run.name), ('seed', '–' if run.seed is None else str(run.seed)), ('protocol', run.protocol or '–')]
    final = run.raw.get('final') or {}
    if isinstance(final, dict):
        pairs += [(f'final {name}', str(path)) for name, path in final.items() if path]
    seconds: dict[str, float] = {}
    for name, record in journal.items():
        if isinstance(record, dict) and record.get('seconds'):
            seconds[name] = float(record['seconds'])
    if seconds:
        pairs.append(('training time', human_seconds(sum(seconds.values()))))
        pairs.append(('by stage', ', '.join(f'{name} {human_seconds(value)}' for name, value in seconds.items())))
    versions = {'udatools': __version__} | installed_versions()
    pairs.append(('versions', ', '.join(f'{name} {version}' for name, version in versions.items())))
    body = ''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in pairs)
    return section('Settings', f'<dl>{body}</dl>')
