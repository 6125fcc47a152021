# SPDX-License-Identifier: Apache-2.0
"""Charts of the report as inline SVG: pure functions from numbers to text.

Colours are CSS variables of the page, so that a chart follows its light or dark theme. Text keeps its size when a
chart is drawn narrower for a phone: the width is an argument, nothing is scaled.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ['Point', 'class_bars', 'learning_curve', 'marker', 'nice_ticks', 'short', 'spread', 'svg', 'text', 'value_bars']

CHAR_PX = 6.6  # about the width of a character at 12 px
#: Series that are told apart by colour and shape (classes ``s0`` ... of the style sheet); further ones begin again.
NUM_STYLES = 6


@dataclass
class Point:
    """One evaluated stage on the learning curve; ``portion`` in [0, 1], ``value`` in percent."""

    label: str
    portion: float
    value: float
    main: bool = True


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers that cover [low, high] in about ``count`` steps of 1, 2 or 5 times a power of ten.

    Example:
        >>> nice_ticks(0, 100, 5)
        [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
    """
    span = max(high - low, 1e-9)
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move label positions apart until neighbours are ``gap`` apart, in the given order of size, within [low, high].

    Args:
        wanted (Sequence[float]): positions that the labels would like to have.
        gap (float): least distance.
        low (float): least position.
        high (float): greatest position; given up when there are too many labels.

    Returns:
        list[float]: positions in the order of ``wanted``.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [0.0] * len(wanted)
    previous = low - gap
    for i in order:
        previous = placed[i] = max(wanted[i], previous + gap)
    limit = high
    for i in reversed(order):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - gap
    overflow = low - min(placed, default=low)
    return [position + max(0.0, overflow) for position in placed]


def short(text: str, characters: int) -> str:
    """Return the text, cut to a number of characters with an ellipsis."""
    return text if len(text) <= characters else text[: max(1, characters - 1)] + '…'


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """Return the drawing as one element with a title for screen readers."""
    return (
        f'<svg class="chart" role="img" aria-label="{escape(title, quote=True)}" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def text(x: float, y: float, text: str, css: str = '', anchor: str = 'start') -> str:
    """Return a text at its baseline; ``anchor`` is start, middle or end."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{css}">{escape(text)}</text>'


def marker(x: float, y: float, css: str, index: int, title: str, *, diamond: bool = False) -> str:
    """A circle, square or triangle by series, so that colour is not all that tells them apart."""
    note = f'<title>{escape(title)}</title>'
    if diamond:
        return f'<path class="dot {css}" d="M{x:.1f},{y - 7:.1f}l7,7l-7,7l-7,-7z">{note}</path>'
    shape = index % 3
    if shape == 1:
        return f'<rect class="dot {css}" x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9">{note}</rect>'
    if shape == 2:
        return f'<path class="dot {css}" d="M{x:.1f},{y - 6:.1f}l5.6,10h-11.2z">{note}</path>'
    return f'<circle class="dot {css}" cx="{x:.1f}" cy="{y:.1f}" r="5">{note}</circle>'


def round_strength(index: int, rounds: int) -> float:
    """Return the opacity of a round's bars: earlier rounds are lighter, the last one has the full colour."""
    return 1.0 if rounds == 1 else 0.35 + 0.65 * index / (rounds - 1)


def learning_curve(points: Sequence[Point], baselines: Mapping[str, float], width: int = 760, height: int = 380) -> str:
    """Draw mIoU against the labelled share, with the baselines as horizontal lines.

    Args:
        points (Sequence[Point]): evaluated stages; those with ``main`` are joined by the curve.
        baselines (Mapping[str, float]): name -> mIoU in percent.
        width (int): in pixels; below 500 the labels of the baselines take two lines.
        height (int): in pixels.

    Returns:
        str: SVG.
    """
    points = [point for point in points if math.isfinite(point.value) and math.isfinite(point.portion)]
    baselines = {name: value for name, value in baselines.items() if math.isfinite(value)}
    values = [point.value for point in points] + list(baselines.values())
    if not values:
        return ''
    narrow = width < 500
    name_px = max((len(name) for name in baselines), default=0) * CHAR_PX
    right = min(108.0, 14 + max(name_px, 40)) if narrow else 30 + min(230.0, name_px + 6 * CHAR_PX)
    left, top, bottom = 40.0, 26.0, 46.0
    if not baselines:
        right = 36.0
    plot_w, plot_h = width - left - right, height - top - bottom
    y_ticks = nice_ticks(max(0.0, min(values) - 3), min(100.0, max(values) + 3), 6)
    x_max = max((point.portion for point in points), default=0.0) * 100 or 1.0
    x_ticks = [tick for tick in nice_ticks(0, x_max, 3 if narrow else 5) if tick <= x_max * 1.04]

    def x_of(portion: float) -> float:
        return left + plot_w * (portion * 100) / (x_max * 1.06)

    def y_of(value: float) -> float:
        return top + plot_h * (1 - (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]))

    parts = []
    for tick in y_ticks:
        parts.append(
            f'<line class="grid" x1="{left}" x2="{left + plot_w:.1f}" y1="{y_of(tick):.1f}" y2="{y_of(tick):.1f}"/>'
        )
        parts.append(text(left - 8, y_of(tick) + 4, f'{tick:g}', 'tick', 'end'))
    for tick in x_ticks:
        parts.append(text(x_of(tick / 100), top + plot_h + 20, f'{tick:g}%', 'tick', 'middle'))
    parts.append(text(left + plot_w / 2, height - 6, 'labelled share of target pixels', 'axis', 'middle'))
    parts.append(text(left - 8, 12, 'mIoU', 'axis', 'end' if not narrow else 'middle'))
    gap = 30.0 if narrow else 17.0
    names = list(baselines)
    positions = spread([y_of(baselines[name]) for name in names], gap, top + 4, top + plot_h)
    for name, y_label in zip(names, positions):
        y, x_end = y_of(baselines[name]), left + plot_w
        parts.append(
            f'<line class="baseline" x1="{left}" x2="{x_end:.1f}" y1="{y:.1f}" y2="{y:.1f}"><title>'
            f'{escape(name)}: {baselines[name]:.1f}</title></line>'
        )
        parts.append(f'<path class="leader" d="M{x_end:.1f},{y:.1f}L{x_end + 10:.1f},{y_label:.1f}"/>')
        if narrow:
            parts.append(text(x_end + 13, y_label, short(name, 14), 'label'))
            parts.append(text(x_end + 13, y_label + 13, f'{baselines[name]:.1f}', 'label strong'))
        else:
            parts.append(
                f'<text x="{x_end + 14:.1f}" y="{y_label + 4:.1f}" class="label">{escape(short(name, 32))} '
                f'<tspan class="strong">{baselines[name]:.1f}</tspan></text>'
            )
    curve = [point for point in points if point.main]
    if len(curve) > 1:
        path = 'L'.join(f'{x_of(point.portion):.1f},{y_of(point.value):.1f}' for point in curve)
        parts.append(f'<path class="curve" d="M{path}"/>')
    start = [point for point in points if point.portion == 0]
    start_y = spread([y_of(point.value) for point in start], 15, top, top + plot_h)
    for point in points:
        x, y = x_of(point.portion), y_of(point.value)
        parts.append(
            f'<circle class="{"dot" if point.main else "dot hollow"}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>'
            f'{escape(point.label)}: mIoU {point.value:.1f}, {point.portion:.2%} labelled</title></circle>'
        )
        if point.portion == 0:
            label_y = start_y[start.index(point)] + (16 if point.main and len(curve) > 1 else 4)
            parts.append(
                f'<text x="{x + 11:.1f}" y="{label_y:.1f}" class="label halo">{escape(short(point.label, 22))} '
                f'<tspan class="strong">{point.value:.1f}</tspan></text>'
            )
        elif point.main:
            last = point is curve[-1]
            anchor = 'end' if narrow and last else 'middle'
            parts.append(text(x, y - 12, f'{point.value:.1f}', f'value halo{" big" if last else ""}', anchor))
            parts.append(text(x, y + 21, point.label, 'label halo', anchor))
    return svg(width, height, 'mIoU against labelled share by round', parts)


def value_bars(values: Mapping[str, float], highlight: str = '', width: int = 760) -> str:
    """Draw one horizontal bar a name on a scale of 0 to 100; ``highlight`` names the bar of the run itself."""
    rows = [(name, value) for name, value in values.items() if math.isfinite(value)]
    left, row_h = min(width * 0.42, 24 + CHAR_PX * max((len(name) for name, _ in rows), default=0)), 30.0
    parts = []
    for i, (name, value) in enumerate(rows):
        y, length = i * row_h + 6, (width - left - 54) * max(0.0, value) / 100
        css = 'bar run' if name == highlight else 'bar'
        parts.append(text(left - 10, y + 14, short(name, int((left - 12) / CHAR_PX)), 'label', 'end'))
        parts.append(
            f'<rect class="{css}" x="{left:.1f}" y="{y:.1f}" width="{length:.1f}" height="18" rx="3"><title>'
            f'{escape(name)}: {value:.1f}</title></rect>'
        )
        parts.append(text(left + length + 8, y + 14, f'{value:.1f}', 'label strong'))
    return svg(width, len(rows) * row_h + 8, 'mIoU of stages and baselines', parts) if rows else ''


def class_bars(
    rounds: Sequence[tuple[int, Mapping[str, float]]],
    frequency: Mapping[str, float],
    classes: Sequence[str],
    width: int = 760,
) -> str:
    """Draw for each class its share of the answers of each round, with its frequency in the target set as a tick.

    Args:
        rounds (Sequence[tuple[int, Mapping[str, float]]]): number of the round and share in [0, 1] of each class.
        frequency (Mapping[str, float]): share in [0, 1] of each class; empty draws no ticks.
        classes (Sequence[str]): rows, in order.
        width (int): in pixels.

    Returns:
        str: SVG; empty without rounds.
    """
    if not rounds:
        return ''
    bar_h = 7.0 if len(rounds) <= 4 else 5.0
    row_h = bar_h * len(rounds) + (len(rounds) - 1) * 2 + 12
    left = min(width * 0.36, 14 + CHAR_PX * max(len(name) for name in classes))
    top, right = 8.0, 56.0
    biggest = max([share for _, shares in rounds for share in shares.values()] + list(frequency.values()) + [0.01])
    ticks = [tick for tick in nice_ticks(0, biggest * 100, 4) if tick <= biggest * 108]

    def x_of(share: float) -> float:
        return left + (width - left - right) * share / (max(biggest, ticks[-1] / 100))

    height = top + row_h * len(classes) + 26
    parts = []
    for tick in ticks:
        x = x_of(tick / 100)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{height - 22:.1f}"/>')
        parts.append(text(x, height - 6, f'{tick:g}%', 'tick', 'middle'))
    for row, name in enumerate(classes):
        y = top + row * row_h + 6
        middle = y + (row_h - 12) / 2
        parts.append(text(left - 10, middle + 4, short(name, int((left - 10) / CHAR_PX)), 'label', 'end'))
        for i, (number, shares) in enumerate(rounds):
            share = shares.get(name, 0.0)
            length = max(x_of(share) - left, 1.0 if share > 0 else 0.0)
            strength = round_strength(i, len(rounds))
            parts.append(
                f'<rect class="bar run" x="{left:.1f}" y="{y + i * (bar_h + 2):.1f}" width="{length:.1f}" '
                f'height="{bar_h:g}" rx="1.5" fill-opacity="{strength:.2f}"><title>{escape(name)}, round {number}: '
                f'{share:.2%} of the answers</title></rect>'
            )
        if name in frequency:
            x = x_of(frequency[name])
            parts.append(
                f'<line class="frequency" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 3:.1f}" y2="{y + row_h - 9:.1f}">'
                f'<title>{escape(name)}: {frequency[name]:.2%} of the pixels</title></line>'
            )
            last = max(shares.get(name, 0.0) for _, shares in rounds)
            if frequency[name] >= 5e-4 and last > 0:  # below that a factor says more about noise than about choice
                x_text = max(x, x_of(last)) + 8
                ratio = rounds[-1][1].get(name, 0.0) / frequency[name]
                parts.append(text(x_text, middle + 4, f'×{ratio:.1f}' if ratio < 9.95 else f'×{ratio:.0f}', 'tick'))
    return svg(width, height, 'classes of the answers by round, next to their frequency', parts)
