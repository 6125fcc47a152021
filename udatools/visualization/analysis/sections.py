# SPDX-License-Identifier: Apache-2.0
"""The sections of the analysis page about how runs learnt: from data to HTML; one without data is an empty string."""

import math
import statistics
from collections.abc import Sequence
from html import escape

from udatools.visualization.analysis.charts import Line, line_chart, style_of
from udatools.visualization.analysis.runs import Method, RunTrace, mean_curve
from udatools.visualization.page import figure, heat_cell, section, swatch, table, tiles
from udatools.visualization.tables import human_count

__all__ = ['HALF', 'NARROW', 'WIDE', 'classes', 'headline', 'learning', 'legend', 'losses', 'number', 'overview']

#: The narrow width is what is left for a chart on a screen of 360 pixels.
WIDE, HALF, NARROW = 980, 470, 306
#: Curves of losses that are shown at once; further ones are folded away.
OPEN_CHARTS = 6


def number(value: float, digits: int = 1, sign: bool = False) -> str:
    """A number, or a dash for NaN."""
    return f'{value:{"+" if sign else ""}.{digits}f}' if math.isfinite(value) else '–'


def legend(lines: Sequence[Line]) -> str:
    """Names of the curves that have points, with their colours; nothing for a page about one."""
    keys = [f'<span><i class="swatch line {style_of(i)}"></i>{escape(line.label)}</span>' for i, line in enumerate(lines)
            if line.points]
    return f'<div class="key">{"".join(keys)}</div>' if len(lines) > 1 else ''


def seeds(traces: Sequence[RunTrace]) -> str:
    """``seed 0``, ``seeds 0, 1, 2``; empty when nothing says so."""
    known = [str(trace.run.seed) for trace in traces if trace.run.seed is not None]
    return f'seed{"s" if len(known) > 1 else ""} {", ".join(known)}' if known else ''


def headline(methods: Sequence[Method]) -> str:
    """Key figures of the best method."""
    best = max(methods, key=lambda method: (math.isfinite(method.miou), method.miou))
    scores = best.final_scores()
    if not scores:
        return ''
    spread = f' ± {statistics.stdev(scores):.1f}' if len(scores) > 1 else ''
    of = [best.label] if len(methods) > 1 else []
    items = [('mIoU on the target', f'{best.miou:.1f}{spread}', ', '.join([*of, seeds(best.runs)]))]
    iou = {name: value for name, value in best.class_iou().items() if math.isfinite(value)}
    if len(iou) > 1:
        top, low = max(iou, key=lambda name: iou[name]), min(iou, key=lambda name: iou[name])
        items += [('best class', f'{iou[top]:.1f}', top), ('worst class', f'{iou[low]:.1f}', low)]
    rest = sorted((method for method in methods if method is not best and math.isfinite(method.miou)), key=lambda m: -m.miou)
    if rest:
        items.append(('ahead of the next', f'{best.miou - rest[0].miou:+.1f}', f'points, {rest[0].label} {rest[0].miou:.1f}'))
    return tiles(items)


def overview(methods: Sequence[Method]) -> str:
    """One row a method: how far it is and what it reached."""
    header = ['method', 'mIoU', 'by seed', 'stages', 'iterations', 'labelled']
    rows = []
    for method in methods:
        scores = method.final_scores()
        spread = f' ± {statistics.stdev(scores):.1f}' if len(scores) > 1 else ''
        portions = [trace.run.final.portion for trace in method.runs if trace.run.final is not None]
        labelled = f'{100 * statistics.mean(portions):.2f} %' if portions and max(portions) > 0 else '–'
        rows.append([
            f'<th scope="row">{escape(method.label)}</th>', f'<td>{number(method.miou)}{spread}</td>',
            f'<td>{" / ".join(number(score) for score in scores) or "–"}</td>', f'<td>{_progress(method)}</td>',
            f'<td>{" / ".join(sorted({human_count(_iterations(trace)) for trace in method.runs}))}</td>', f'<td>{labelled}</td>'])
    protocol = next((trace.run.protocol for method in methods for trace in method.runs if trace.run.protocol), '')
    note = f'mIoU in percent of the last evaluated stage{f", protocol {protocol}" if protocol else ""}.'
    note += _seed_note(methods, ' ± is the standard deviation.')
    return section('Runs', table(header, rows), note)


def _iterations(trace: RunTrace) -> int:
    return sum(stage.iterations for stage in trace.stages)


def _progress(method: Method) -> str:
    """``5 of 5``; of runs that are not through, the stage that runs or waits."""
    texts = []
    for trace in method.runs:
        done = sum(stage.status == 'done' for stage in trace.stages)
        busy = next((stage for stage in trace.stages if stage.status in ('running', 'waiting')), None)
        said = f'{done} of {len(trace.stages)}'
        if busy is not None:
            said += f', {busy.name.replace("_", " ")} {busy.status}'
            said += f' ({busy.iterations} of {busy.planned})' if busy.status == 'running' and busy.planned else ''
        texts.append(said)
    return escape('; '.join(dict.fromkeys(texts)))


def _marks(methods: Sequence[Method]) -> list[tuple[float, str]]:
    """Ends of the stages, when all runs have the same ones."""
    plans = {tuple((stage.start + stage.planned, stage.name) for stage in trace.stages if stage.planned)
             for method in methods for trace in method.runs}
    longest = max(plans, key=len, default=())
    same = all(plan == longest[:len(plan)] for plan in plans)  # one that still runs knows fewer of them
    return [(float(end), name.replace('_', ' ')) for end, name in longest] if same and len(longest) > 1 else []


def learning(methods: Sequence[Method]) -> str:
    """mIoU against iterations."""
    lines = [Line(method.label, [mean_curve([trace.scores() for trace in method.runs])]) for method in methods]
    if sum(len(line.points) for line in lines) < 2:
        return ''
    marks = _marks(methods)
    wide, narrow = (line_chart(lines, 'iterations', 'mIoU, %', marks=marks, dots=True, percent=True, width=width, height=height)
                    for width, height in ((WIDE, 360), (NARROW, 280)))
    note = 'Of every model that was validated, over the iterations of all stages so far.'
    note += _seed_note(methods, ' Points are means over the seeds, the strokes through them go from the worst to the best.')
    return section('Learning curve', legend(lines) + figure(wide, narrow), note)


def _seed_note(methods: Sequence[Method], note: str) -> str:
    return note if any(len(method.runs) > 1 for method in methods) else ''


def losses(methods: Sequence[Method]) -> str:
    """One small chart for every logged value."""
    names = list(dict.fromkeys(name for method in methods for trace in method.runs for stage in trace.stages
                               for name in stage.curves if name != 'mIoU'))
    marks, charts = _marks(methods), []
    everything = [Line(method.label, [part for name in names for part in method.curve(name)]) for method in methods]
    for name in names:
        lines = [Line(method.label, method.curve(name)) for method in methods]
        wide, narrow = (line_chart(lines, 'iterations', 'value', marks=marks, width=width, height=220)
                        for width in (HALF, NARROW))
        if wide:
            charts.append(f'<div class="small"><h3>{escape(name)}</h3>{figure(wide, narrow)}</div>')
    if not charts:
        return ''
    body = legend(everything) + f'<div class="pair">{"".join(charts[:OPEN_CHARTS])}</div>'
    if len(charts) > OPEN_CHARTS:
        body += (f'<details><summary>{len(charts) - OPEN_CHARTS} more</summary><div class="pair">'
                 f'{"".join(charts[OPEN_CHARTS:])}</div></details>')
    note = 'What the objectives have logged, named objective.value; weights are included. '
    note += 'Stages that were taken over from another run have no log.' + (' Dotted lines end a stage.' if marks else '')
    return section('Losses', body, note + _seed_note(methods, ' Means over the seeds.'))


def classes(methods: Sequence[Method]) -> str:
    """IoU by class: the methods side by side, and every method by stage."""
    palette = {name: colour for method in methods for trace in method.runs
               for name, colour in zip(trace.run.classes, trace.run.palette)}
    single = len(methods) == 1
    columns = {method.label: method.class_iou() for method in methods}
    parts = []
    if not single and any(columns.values()):
        parts.append(_class_table(columns, {method.label: method.miou for method in methods}, palette, gain=len(columns) == 2))
    for method in methods:
        names = list(dict.fromkeys(stage.name for trace in method.runs for stage in trace.evaluated))
        by_stage = {name.replace('_', ' '): method.class_iou(name) for name in names}
        if not by_stage or (len(by_stage) < 2 and not single):
            continue
        means = {name.replace('_', ' '): _stage_miou(method, name) for name in names}
        body = _class_table(by_stage, means, palette, gain=len(by_stage) > 1)
        parts.append(body if single else f'<details><summary>{escape(method.label)} by stage</summary>{body}</details>')
    if not parts:
        return ''
    note = 'IoU in percent; the stronger the shade, the higher.' + _seed_note(methods, ' Means over the seeds.')
    if single or len(methods) == 2:
        note += ' Gain: the last column over the first.'
    return section('Classes', ''.join(parts), note)


def _stage_miou(method: Method, stage: str) -> float:
    values = [entry.result.miou for trace in method.runs for entry in trace.evaluated
              if entry.name == stage and entry.result is not None and math.isfinite(entry.result.miou)]
    return statistics.mean(values) if values else math.nan


def _class_table(columns: dict[str, dict[str, float]], means: dict[str, float], palette: dict[str, list[int]], *,
                 gain: bool) -> str:
    """Rows are classes, columns methods or stages."""
    names = list(dict.fromkeys(name for iou in columns.values() for name in iou))

    def row(title: str, values: list[float]) -> list[str]:
        cells = [title, *map(heat_cell, values)]
        if gain:
            change = values[-1] - values[0]
            css = 'up' if change > 0.05 else 'down' if change < -0.05 else ''
            cells.append(f'<td class="gain {css}">{number(change, sign=True)}</td>')
        return cells

    rows = [row(f'<th scope="row">{swatch(palette[name]) if name in palette else ""}{escape(name)}</th>',
                [iou.get(name, math.nan) for iou in columns.values()]) for name in names]
    foot = row('<th scope="row">mean</th>', list(means.values()))
    return table(['class', *columns, *(['gain'] if gain else [])], rows, foot=foot)
