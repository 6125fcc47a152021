# SPDX-License-Identifier: Apache-2.0
"""Charts of a campaign as inline SVG: pure functions from numbers to text, in the manner of ``visualization.charts``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from udatools.visualization.charts import CHAR_PX, NUM_STYLES, marker, nice_ticks, short, spread, svg, text
from udatools.visualization.tables import human_count

__all__ = ['MixRow', 'Series', 'class_mix', 'cost_curve', 'gain_scatter', 'log_ticks']


@dataclass
class MixRow:
    """One bar of :func:`class_mix`: ``shares`` of the classes in [0, 1] that add up to 1, and how even they are."""

    group: str
    label: str
    shares: Mapping[str, float]
    evenness: float
    muted: bool = False


@dataclass
class Series:
    """One method in :func:`cost_curve`: ``points`` are (label, cost > 0, mIoU); ``start`` is mIoU before any label."""

    label: str
    points: Sequence[tuple[str, float, float]]
    start: float = math.nan
    full: bool = field(default=False)


def log_ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round numbers for a logarithmic axis over [low, high], 0 < low <= high, that cover it.

    Example:
        >>> log_ticks(3, 90)
        [2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
    """
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    ticks: list[float] = []
    for factors in ((1, 2, 5), (1, 3), (1, )):
        every = [float(f'{factor}e{power}') for power in range(first - 1, last + 1) for factor in factors]
        below = max((tick for tick in every if tick <= low * (1 + 1e-9)), default=every[0])
        above = min((tick for tick in every if tick >= high * (1 - 1e-9)), default=10.0**last)
        ticks = [tick for tick in every if below <= tick <= above]
        if above > max(ticks):
            ticks.append(above)
        if len(ticks) <= most:
            break
    return ticks


def _ink(colour: Sequence[int]) -> str:
    """Black or white, whichever reads better on an RGB colour."""
    red, green, blue = colour
    return '#000' if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else '#fff'


def class_mix(rows: Sequence[MixRow], classes: Sequence[str], palette: Sequence[Sequence[int]], width: int = 760) -> str:
    """Draw one stacked bar a row, a colour a class, and beside it how even the classes are.

    Args:
        rows (Sequence[MixRow]): rows of one group stand together below its name.
        classes (Sequence[str]): order within a bar.
        palette (Sequence[Sequence[int]]): their RGB colours.
        width (int): in pixels.

    Returns:
        str: SVG; empty without rows.
    """
    if not rows:
        return ''
    left = min(width * 0.3, 18 + CHAR_PX * max(len(row.label) for row in rows))
    right, bar_h, row_h, group_h = 70.0, 18.0, 24.0, 30.0
    plot_w, y, group = width - left - right, 18.0, ''
    parts = [text(width - right + 12, 11, 'evenness', 'axis')]
    for row in rows:
        if row.group != group:
            group = row.group
            y += group_h - 8
            parts.append(text(0, y - 8, short(group, int(width * 0.7 / CHAR_PX)), 'label strong'))
        x = left
        css = ' class="muted"' if row.muted else ''
        parts.append(text(left - 10, y + 13, short(row.label, int((left - 10) / CHAR_PX)), 'label', 'end'))
        for name, colour in zip(classes, palette):
            length = plot_w * row.shares.get(name, 0.0)
            if length <= 0:
                continue
            parts.append(
                f'<rect{css} x="{x:.2f}" y="{y:.1f}" width="{length:.2f}" height="{bar_h:g}" '
                f'fill="rgb({",".join(map(str, colour))})"><title>{escape(row.group)} {escape(row.label)}: '
                f'{escape(name)} {row.shares[name]:.1%}</title></rect>'
            )
            if length > len(name) * CHAR_PX + 8:
                parts.append(
                    f'<text x="{x + length / 2:.1f}" y="{y + 13:.1f}" text-anchor="middle" '
                    f'style="fill:{_ink(colour)};font-size:11px">{escape(name)}</text>'
                )
            x += length
        number = f'{row.evenness:.2f}' if math.isfinite(row.evenness) else '–'
        parts.append(text(width - right + 12, y + 13, number, 'label' if row.muted else 'label strong'))
        y += row_h
    return svg(width, y + 2, 'classes of the selected pixels by step', parts)


def cost_curve(
    series: Sequence[Series],
    references: Mapping[str, float],
    axis: str,
    width: int = 760,
    height: int = 360,
) -> str:
    """Draw mIoU against a cost on a logarithmic axis; what costs nothing stands left of it.

    Args:
        series (Sequence[Series]): one a method; one with ``full`` is a single diamond, labelling everything.
        references (Mapping[str, float]): name -> mIoU of what has no cost here, as dashed lines.
        axis (str): what the cost is, with its unit.
        width (int): in pixels.
        height (int): in pixels.

    Returns:
        str: SVG; empty without a point.
    """
    costs = [cost for line in series for _, cost, _ in line.points]
    values = [value for line in series for _, _, value in line.points]
    values += [line.start for line in series if math.isfinite(line.start)]
    references = {name: value for name, value in references.items() if math.isfinite(value)}
    if not costs:
        return ''
    values += references.values()
    left, top, bottom, gutter = 36.0, 24.0, 44.0, 46.0
    names = [line.label for line in series] + list(references)
    right = min(width * 0.36, 26 + CHAR_PX * max(len(name) + 5 for name in names))
    x0, x1, plot_h = left + gutter, width - right, height - top - bottom
    x_ticks = log_ticks(min(costs), max(costs), 8 if width > 600 else 4)
    y_ticks = nice_ticks(max(0.0, min(values) - 2), min(100.0, max(values) + 2), 6)
    low, high = math.log(x_ticks[0]), math.log(max(x_ticks[-1], x_ticks[0] * 1.01))

    def x_of(cost: float) -> float:
        return x0 + (x1 - x0) * (math.log(cost) - low) / (high - low)

    def y_of(value: float) -> float:
        return top + plot_h * (1 - (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]))

    parts = []
    for tick in y_ticks:
        parts.append(f'<line class="grid" x1="{left}" x2="{x1:.1f}" y1="{y_of(tick):.1f}" y2="{y_of(tick):.1f}"/>')
        parts.append(text(left - 8, y_of(tick) + 4, f'{tick:g}', 'tick', 'end'))
    for tick in x_ticks:
        parts.append(f'<line class="grid" x1="{x_of(tick):.1f}" x2="{x_of(tick):.1f}" y1="{top}" y2="{top + plot_h:.1f}"/>')
        parts.append(text(x_of(tick), top + plot_h + 18, _short_count(tick), 'tick', 'middle'))
    parts.append(text(left + 8, top + plot_h + 18, '0', 'tick', 'middle'))
    parts.append(text((x0 + x1) / 2, height - 6, axis, 'axis', 'middle'))
    parts.append(text(left - 8, 11, 'mIoU', 'axis', 'middle'))
    for name, value in references.items():
        parts.append(
            f'<line class="baseline" x1="{left}" x2="{x1:.1f}" y1="{y_of(value):.1f}" y2="{y_of(value):.1f}">'
            f'<title>{escape(name)}: {value:.1f}</title></line>'
        )
    # Labels stand at the right, each led to from the last point of its line.
    ends = [(line.label, y_of(line.points[-1][2]), x_of(line.points[-1][1]), line.points[-1][2], _style(i, line))
            for i, line in enumerate(series) if line.points]
    ends += [(name, y_of(value), x1, value, 'ref') for name, value in references.items()]
    places = spread([end[1] for end in ends], 17.0, top + 4, top + plot_h)
    for (name, y_end, x_end, value, css), y_label in zip(ends, places):
        parts.append(f'<path class="leader" d="M{x_end:.1f},{y_end:.1f}L{x1 + 10:.1f},{y_label:.1f}" stroke-opacity=".4"/>')
        parts.append(
            f'<text x="{x1 + 14:.1f}" y="{y_label + 4:.1f}" class="label {css}-text">'
            f'{escape(short(name, int((right - 52) / CHAR_PX)))} <tspan class="strong">{value:.1f}</tspan></text>'
        )
    for i, line in enumerate(series):
        css, drawn = _style(i, line), [(x_of(cost), y_of(value)) for _, cost, value in line.points]
        path = [(left + 8, y_of(line.start)), *drawn] if math.isfinite(line.start) else drawn
        if math.isfinite(line.start):
            parts.append(marker(left + 8, y_of(line.start), css, i, f'{line.label}, before any label: {line.start:.1f}'))
        if len(path) > 1:
            dash = f'M{path[0][0]:.1f},{path[0][1]:.1f}L{path[1][0]:.1f},{path[1][1]:.1f}' if len(path) > len(drawn) else ''
            parts.append(f'<path class="curve {css} lead" d="{dash}"/>' if dash else '')
            parts.append(f'<path class="curve {css}" d="M{"L".join(f"{x:.1f},{y:.1f}" for x, y in drawn)}"/>')
        for (x, y), (label, cost, value) in zip(drawn, line.points):
            title = f'{line.label}, {label}: mIoU {value:.1f} at {human_count(cost) if cost >= 10 else f"{cost:.2g}"} {axis}'
            parts.append(marker(x, y, css, i, title, diamond=line.full))
    return svg(width, height, f'mIoU against {axis}', parts)


def _style(index: int, line: Series) -> str:
    return 'full' if line.full else f's{index % NUM_STYLES}'


def _short_count(number: float) -> str:
    """``2 k``, ``500``, ``0.5``: round numbers of an axis."""
    for limit, unit in ((1e9, ' G'), (1e6, ' M'), (1e3, ' k')):
        if number >= limit:
            return f'{number / limit:g}{unit}'
    return f'{number:g}'


def gain_scatter(
    points: Sequence[tuple[str, float, float, Sequence[int]]], width: int = 760, height: int = 400
) -> str:
    """Draw what each class gained against its labelled pixels.

    Args:
        points (Sequence[tuple]): name, labelled pixels, gain in points of IoU, RGB colour; classes without a labelled
            pixel stand left of the logarithmic axis.
        width (int): in pixels.
        height (int): in pixels.

    Returns:
        str: SVG; empty without points.
    """
    points = [point for point in points if math.isfinite(point[2])]
    if not points:
        return ''
    left, right, top, bottom, gutter = 40.0, 18.0, 22.0, 44.0, 40.0
    known = [pixels for _, pixels, _, _ in points if pixels > 0] or [1.0]
    x_ticks = log_ticks(min(known), max(known), 8 if width > 600 else 4)
    y_ticks = nice_ticks(min(0.0, *(gain for _, _, gain, _ in points)), max(1.0, *(gain for _, _, gain, _ in points)), 6)
    x0, x1, plot_h = left + gutter, width - right, height - top - bottom
    low, high = math.log(x_ticks[0]), math.log(max(x_ticks[-1], x_ticks[0] * 1.01))

    def place(pixels: float, gain: float) -> tuple[float, float]:
        x = x0 + (x1 - x0) * (math.log(pixels) - low) / (high - low) if pixels > 0 else left + 10
        return x, top + plot_h * (1 - (gain - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]))

    parts = []
    for tick in y_ticks:
        y = place(1, tick)[1]
        css = 'zero' if tick == 0 else 'grid'
        parts.append(f'<line class="{css}" x1="{left}" x2="{x1:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(text(left - 8, y + 4, f'{tick:+g}' if tick else '0', 'tick', 'end'))
    for tick in x_ticks:
        parts.append(text(place(tick, 0)[0], top + plot_h + 18, _short_count(tick), 'tick', 'middle'))
    if any(pixels <= 0 for _, pixels, _, _ in points):
        parts.append(text(left + 10, top + plot_h + 18, '0', 'tick', 'middle'))
    parts.append(text((x0 + x1) / 2, height - 6, 'answered pixels of the class', 'axis', 'middle'))
    parts.append(text(0, 11, 'gain in points of IoU', 'axis'))
    dots = [place(pixels, gain) for _, pixels, gain, _ in points]
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in dots]
    for (name, pixels, gain, colour), (x, y) in zip(points, dots):
        parts.append(
            f'<circle class="class-dot" cx="{x:.1f}" cy="{y:.1f}" r="6" fill="rgb({",".join(map(str, colour))})">'
            f'<title>{escape(name)}: {gain:+.1f} points, {pixels:,.0f} answered pixels</title></circle>'
        )
        length = len(name) * CHAR_PX
        for dx, dy in ((9, 4), (-9 - length, 4), (-length / 2, -10), (-length / 2, 19), (7, -8), (7, 16)):
            box = (x + dx, y + dy - 11, x + dx + length, y + dy + 3)
            inside = box[0] >= left and box[2] <= width and box[1] >= 0
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                parts.append(text(x + dx, y + dy, name, 'label halo'))
                break
    return svg(width, height, 'gain of each class against its answered pixels', parts)


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
