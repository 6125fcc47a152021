# SPDX-License-Identifier: Apache-2.0
"""Charts of the analysis page as inline SVG: curves over iterations or rounds, and a confusion matrix.

In the manner of ``visualization.charts``: pure functions, drawn once for a wide and once for a narrow page. Names of the curves
are a legend of the page, not of the drawing, so that they wrap on a phone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from torch import Tensor

from udatools.visualization.charts import CHAR_PX, NUM_STYLES, marker, nice_ticks, short, svg, text

__all__ = ['Line', 'confusion_chart', 'line_chart', 'style_of']


@dataclass
class Line:
    """One curve.

    Attributes:
        label (str): whose it is.
        parts (Sequence): of points (x, value, least, greatest), least and greatest over the seeds; parts are not joined.
    """

    label: str
    parts: Sequence[Sequence[tuple[float, float, float, float]]]

    @property
    def points(self) -> list[tuple[float, float, float, float]]:
        """Of all parts."""
        return [point for part in self.parts for point in part]


def style_of(index: int) -> str:
    """CSS classes of the curve with this number; from the seventh on the colours come again, dashed."""
    return f's{index % NUM_STYLES}' + (' again' if index >= NUM_STYLES else '')


def line_chart(lines: Sequence[Line], axis: str, unit: str, *, marks: Sequence[tuple[float, str]] = (), dots: bool = False,
               percent: bool = False, whole: bool = False, width: int = 760, height: int = 260) -> str:
    """Draw curves over one axis.

    Args:
        lines (Sequence[Line]): the index of a line decides its colour; one without points is left out.
        axis (str): what x is.
        unit (str): what the values are; stands above the axis.
        marks (Sequence[tuple[float, str]]): vertical lines and what ends there, such as stages; names that do not fit are left
            to the tooltip.
        dots (bool): mark every point, and the span over the seeds.
        percent (bool): values stay within 0..100.
        whole (bool): x are whole numbers such as rounds.
        width (int): in pixels.
        height (int): in pixels.

    Returns:
        str: SVG; empty without a point.
    """
    points = [point for line in lines for point in line.points]
    if not points:
        return ''
    xs, lows, highs = [p[0] for p in points], [p[2] for p in points], [p[3] for p in points]
    low, high = min(lows), max(highs)
    if percent:
        y_ticks = nice_ticks(max(0.0, low - 2), min(100.0, high + 2), 5)
    else:
        y_ticks = nice_ticks(0.0 if 0 <= low < 0.6 * high else low, high, 4)
    if len(y_ticks) < 2:  # all values are the same round number
        y_ticks.append(y_ticks[0] + 1)
    labels = [f'{tick:g}' for tick in y_ticks]
    first, last = (min(xs), max(xs)) if whole else (min(0.0, *xs), max([*xs, *(x for x, _ in marks)]))
    last = max(last, first + 1)
    left, right, top, bottom = 14 + CHAR_PX * max(map(len, labels)), 16.0, 26.0, 42.0
    plot_w, plot_h = width - left - right, height - top - bottom
    inset = 10.0 if whole else 0.0

    def x_of(x: float) -> float:
        return left + inset + (plot_w - 2 * inset) * (x - first) / (last - first)

    def y_of(value: float) -> float:
        return top + plot_h * (1 - (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]))

    parts = [text(0, 12, unit, 'axis')]
    for tick, label in zip(y_ticks, labels):
        parts.append(f'<line class="grid" x1="{left:.1f}" x2="{width - right:g}" y1="{y_of(tick):.1f}" y2="{y_of(tick):.1f}"/>')
        parts.append(text(left - 8, y_of(tick) + 4, label, 'tick', 'end'))
    wanted = max(2, int(plot_w / 70))
    x_ticks = [x for x in nice_ticks(first, last, wanted) if first <= x <= last and (not whole or x == int(x))]
    parts += [text(x_of(x), top + plot_h + 18, f'{x:g}', 'tick', 'middle') for x in x_ticks]
    parts.append(text(left + plot_w / 2, height - 6, axis, 'axis', 'middle'))
    before = first
    for x, name in marks:
        note = f'<title>{escape(name)} ends at {x:g}</title>'
        place = f'x1="{x_of(x):.1f}" x2="{x_of(x):.1f}" y1="{top:g}" y2="{top + plot_h:.1f}"'
        parts.append(f'<line class="mark" {place}>{note}</line>')
        if len(name) * CHAR_PX + 8 < x_of(x) - x_of(before):
            parts.append(text((x_of(x) + x_of(before)) / 2, top - 6, name, 'tick', 'middle'))
        before = x
    for i, line in enumerate(lines):
        css = style_of(i)
        for part in line.parts:
            if len(part) > 1:
                path = 'L'.join(f'{x_of(p[0]):.1f},{y_of(p[1]):.1f}' for p in part)
                parts.append(f'<path class="curve {css}" d="M{path}"/>')
            for at, value, least, greatest in part if dots or len(part) == 1 else ():
                span = ''
                if greatest > least:
                    span = f' ({least:.4g} to {greatest:.4g} over the seeds)'
                    parts.append(f'<path class="span {css}" d="M{x_of(at):.1f},{y_of(least):.1f}V{y_of(greatest):.1f}"/>')
                parts.append(marker(x_of(at), y_of(value), css, i, f'{line.label}, {axis} {at:g}: {value:.4g}{span}'))
    return svg(width, height, f'{unit} by {axis}', parts)


def confusion_chart(conf: Tensor, names: Sequence[str], width: int = 760) -> str:
    """Draw a confusion matrix whose rows add up to 1.

    Args:
        conf (Tensor): int64, (P, P + k), rows are ground truth; a column past P, if it is not empty, is called ``other``.
        names (Sequence[str]): the P classes.
        width (int): in pixels at most; percentages are written into cells that are large enough.

    Returns:
        str: SVG; every cell has a tooltip with its count. Empty when nothing is labelled.
    """
    counts = conf if bool(conf[:, len(names):].any()) else conf[:, :len(names)]
    columns = [*names, *['other'] * (counts.shape[1] - len(names))]
    total = counts.sum(1).tolist()
    if not any(total):
        return ''
    longest, cell, char, css = max(map(len, columns)), 0.0, CHAR_PX, 'label'
    left = 12 + char * longest
    cell = min(38.0, (width - left - 4) / len(columns))
    if cell < 14:  # lines of the usual size would overlap
        char, css = 0.8 * CHAR_PX, 'label tiny'
        left = min(width * 0.35, 12 + char * longest)
        cell = (width - left - 4) / len(columns)
    room = int((left - 10) / char)
    top = 10 + char * min(longest, room)
    written = cell >= 24
    parts = []
    for column, name in enumerate(columns):
        place = f'translate({left + (column + 0.5) * cell + 4:.1f},{top - 6:.1f}) rotate(-90)'
        parts.append(f'<text transform="{place}" class="{css}">{escape(short(name, room))}</text>')
    for row, name in enumerate(names):
        y = top + row * cell
        parts.append(text(left - 8, y + cell / 2 + 4, short(name, room), css, 'end'))
        for column, predicted in enumerate(columns):
            count = int(counts[row, column])
            share = count / total[row] if total[row] else 0.0
            hit = row == column
            strength = f' fill-opacity="{math.sqrt(share) if not hit else share:.3f}"' if share else ''
            kind = 'void' if not total[row] else 'hit' if hit else 'miss' if share else 'none'
            says = f'{count:,} of {total[row]:,} pixels ({share:.2%})' if total[row] else 'not in the ground truth'
            x = left + column * cell
            parts.append(f'<rect class="cell {kind}" x="{x:.1f}" y="{y:.1f}" width="{cell - 1:.1f}" height="{cell - 1:.1f}"'
                         f'{strength}><title>{escape(name)} as {escape(predicted)}: {says}</title></rect>')
            if written and share >= 0.005:
                ink = ' on' if (share if hit else math.sqrt(share)) > 0.55 else ''
                parts.append(f'<text x="{x + (cell - 1) / 2:.1f}" y="{y + cell / 2 + 4:.1f}" text-anchor="middle" '
                             f'class="share{ink}">{100 * share:.0f}</text>')
    return svg(math.ceil(left + cell * len(columns) + 2), math.ceil(top + cell * len(names) + 2),
               'confusion matrix: rows are the ground truth, columns the prediction', parts)
