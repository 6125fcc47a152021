# SPDX-License-Identifier: Apache-2.0
"""The HTML around the content of the report: document, sections, tiles, tables, and the one style sheet."""

import base64
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt

from udatools.visualization.panels import encode_png

__all__ = ['data_url', 'document', 'figure', 'heat_cell', 'section', 'several_runs_style', 'swatch', 'table', 'tiles']


def document(title: str, heading: str, subtitle: str, parts: Sequence[str], style: str = '') -> str:
    """Return the whole page; ``parts`` are HTML, ``style`` is CSS after the common sheet, the others are plain text."""
    style = Path(__file__).with_name('report.css').read_text(encoding='utf-8') + style
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n'
        f'<header><h1>{escape(heading)}</h1><p>{escape(subtitle)}</p></header>\n'
        + '\n'.join(parts)
        + '\n</main>\n</body>\n</html>\n'
    )


def several_runs_style() -> str:
    """Return the CSS that pages about several runs have in common, for ``style`` of :func:`document`."""
    return Path(__file__).with_name('several_runs.css').read_text(encoding='utf-8')


def section(title: str, body: str, note: str = '') -> str:
    """Return a section; ``body`` is HTML, ``title`` and ``note`` are plain text."""
    lead = f'<p class="note">{escape(note)}</p>' if note else ''
    return f'<section><h2>{escape(title)}</h2>{lead}{body}</section>'


def tiles(items: Sequence[tuple[str, str, str]]) -> str:
    """Return a row of key figures from (label, value, detail), plain text."""
    cells = ''.join(
        f'<div class="tile"><div class="label">{escape(label)}</div><div class="value">{escape(value)}</div>'
        f'<div class="detail">{escape(detail)}</div></div>'
        for label, value, detail in items
    )
    return f'<div class="tiles">{cells}</div>'


def figure(wide: str, narrow: str) -> str:
    """Return a chart in the two widths it was drawn at; the style sheet shows the one that fits."""
    return f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>'


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    foot: Sequence[str] | None = None,
    after: Sequence[str] | None = None,
    first_baseline: int | None = None,
) -> str:
    """Return a table that scrolls sideways where it is too wide.

    Args:
        header (Sequence[str]): plain text.
        rows (Sequence[Sequence[str]]): complete ``<td>`` or ``<th>`` elements.
        foot (Sequence[str] | None): an emphasised last row.
        after (Sequence[str] | None): a muted row below it.
        first_baseline (int | None): column from which on the baselines stand, set apart by a rule.
    """

    def css(i: int) -> str:
        return ' class="edge"' if first_baseline is not None and i == first_baseline else ''

    head = ''.join(f'<th scope="col"{css(i)}>{escape(text)}</th>' for i, text in enumerate(header))
    body = ''.join(f'<tr>{"".join(row)}</tr>' for row in rows)
    tail = (f'<tr class="total">{"".join(foot)}</tr>' if foot else '') + (
        f'<tr class="after">{"".join(after)}</tr>' if after else ''
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
        f'{f"<tfoot>{tail}</tfoot>" if tail else ""}</table></div>'
    )


def swatch(colour: Sequence[int]) -> str:
    """Return a small square of an RGB colour, for legends."""
    return f'<i class="swatch" style="background:rgb({",".join(map(str, colour))})"></i>'


def heat_cell(value: float, css: str = '') -> str:
    """Return a table cell with a percentage, 0..100, shaded by it; a dash for NaN."""
    if not math.isfinite(value):
        return f'<td class="none{css}">–</td>'
    return f'<td class="heat{css}" style="--v:{max(0.0, value) / 100:.3f}">{value:.1f}</td>'


def data_url(picture: npt.NDArray[np.uint8]) -> str:
    """Return an RGB picture as a PNG inside of an address."""
    return f'data:image/png;base64,{base64.b64encode(encode_png(picture)).decode("ascii")}'
