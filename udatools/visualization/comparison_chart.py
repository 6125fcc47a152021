# SPDX-License-Identifier: Apache-2.0
"""Methods side by side as one picture: a bar a method, the spread of its seeds, lines for the two baselines."""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from udatools.utils.atomic import write_bytes_atomic

__all__ = ['write_comparison_chart']

_BAR, _LINE, _TEXT = '#1f62c9', '#85837c', '#1c1c1a'


def write_comparison_chart(rows: Sequence[Mapping[str, Any]], path: Path, *, baseline: str = 'source_only',
                           reference: str = 'supervised', title: str = '') -> Path:
    """Draws mIoU in percent, the best method on top.

    Args:
        rows (Sequence[Mapping]): of ``comparison_rows``: ``run``, ``method``, ``protocol``, ``stage``, ``mIoU``, ``std``.
        path (Path): ``.png``, ``.svg`` or ``.pdf``; written atomically.
        baseline (str): the method whose name starts with it gets a line across, as does
        reference (str): this one.
        title (str): above the chart.

    Raises:
        ValueError: without rows, or for another ending of ``path``.
    """
    # The object interface of matplotlib: no global figure, no display, no change to the caller's settings.
    from io import BytesIO

    from matplotlib.figure import Figure

    if not rows:
        raise ValueError('there are no rows to draw; train a config first')
    kind = path.suffix.lower().lstrip('.')
    if kind not in ('png', 'svg', 'pdf'):
        raise ValueError(f'cannot draw {path}: got the ending {path.suffix!r}; expected .png, .svg or .pdf')
    methods = [row['method'] for row in rows]
    ordered = sorted(rows, key=lambda row: row['mIoU'])
    labels = [row['method'] if methods.count(row['method']) == 1 else f'{row["method"]}, {row["stage"]}' for row in ordered]
    values = [row['mIoU'] for row in ordered]
    spread = [row['std'] or 0.0 for row in ordered]
    figure = Figure(figsize=(7.2, 1.0 + 0.34 * len(ordered)), dpi=150, layout='constrained')
    axes = figure.subplots()
    axes.spines[['top', 'right', 'left']].set_visible(False)
    axes.tick_params(axis='y', length=0)
    axes.grid(axis='x', color='#e3e2dc', linewidth=0.8)
    axes.set_axisbelow(True)
    for start in (baseline, reference):
        found = sorted((row for row in rows if row['run'].startswith(start)), key=lambda row: len(row['run']))
        if found:
            axes.axvline(found[0]['mIoU'], color=_LINE, linestyle=(0, (5, 4)), linewidth=1.2, zorder=0.5)
    plain = [row['run'].startswith((baseline, reference)) for row in ordered]
    axes.barh(range(len(ordered)), values, height=0.62, color=[_LINE if grey else _BAR for grey in plain])
    whiskers = [i for i, width in enumerate(spread) if width]
    axes.errorbar([values[i] for i in whiskers], whiskers, xerr=[spread[i] for i in whiskers], fmt='none', ecolor=_TEXT,
                  elinewidth=1.2, capsize=3)
    for i, (value, width) in enumerate(zip(values, spread)):
        axes.annotate(f'{value:.1f}', (value + width, i), xytext=(5, 0), textcoords='offset points', va='center', fontsize=9,
                      color=_TEXT, bbox={'facecolor': 'white', 'edgecolor': 'none', 'pad': 0.8})
    axes.set_yticks(range(len(ordered)), labels, fontsize=9)
    axes.set_xlim(0, max(value + width for value, width in zip(values, spread)) * 1.1 + 1)
    axes.set_xlabel(f'mIoU ({rows[0]["protocol"]}) on the target, %')
    if title:
        axes.set_title(title, loc='left', fontsize=11)
    picture = BytesIO()
    figure.savefig(picture, format=kind, metadata={'Software': None} if kind == 'png' else None)
    write_bytes_atomic(path, picture.getvalue())
    return path
