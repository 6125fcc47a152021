# SPDX-License-Identifier: Apache-2.0
"""Numbers for people: units, short names, and the plain-text table that a run prints at its end."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ['common_suffix', 'format_results_table', 'human_count', 'human_seconds', 'percent', 'text_table']


def human_seconds(seconds: float) -> str:
    """Return a duration in two units at most.

    Example:
        >>> human_seconds(42), human_seconds(754), human_seconds(11520), human_seconds(2 * 86400)
        ('42 s', '12 min 34 s', '3 h 12 min', '48 h')
    """
    if not math.isfinite(seconds) or seconds < 0:
        return '–'
    if 0 < seconds < 10:
        return f'{seconds:.1f} s'
    total = round(seconds)
    if total < 60:
        return f'{total} s'
    if total < 3600:
        minutes, rest = divmod(total, 60)
        return f'{minutes} min {rest} s' if rest else f'{minutes} min'
    hours, minutes = divmod(round(total / 60), 60)
    return f'{hours:,} h {minutes} min' if minutes and hours < 100 else f'{hours:,} h'


def human_count(number: float) -> str:
    """Return a count with thousands separators up to 99,999, then in k, M or G with three digits.

    Example:
        >>> human_count(12345), human_count(409600), human_count(6.2e9)
        ('12,345', '410 k', '6.20 G')
    """
    for limit, unit in ((1e9, 'G'), (1e6, 'M'), (1e5, 'k')):
        if number >= limit * (0.9995 if unit != 'k' else 1):
            value = number / (1e3 if unit == 'k' else limit)
            return f'{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}'
    return f'{int(number):,}'


def percent(portion: float) -> str:
    """Return a portion in [0, 1] as a percentage with two decimals, or one above ten percent, none for 0 and 1.

    What would round to zero, such as the share of single points, gets two digits.

    Example:
        >>> percent(0.5), percent(0.0251), percent(0.0000134), percent(0)
        ('50.0%', '2.51%', '0.0013%', '0%')
    """
    if portion in (0, 1):
        return f'{portion:.0%}'
    if 0 < portion < 0.0001:
        places = 1 - math.floor(math.log10(100 * portion))
        return f'{portion:.{places}%}'
    return f'{portion:.2%}' if portion < 0.1 else f'{portion:.1%}'


def common_suffix(names: Sequence[str]) -> str:
    """Return the ending ``_words`` that all names share and a table can leave out; empty for fewer than two."""
    if len(names) < 2:
        return ''
    parts = [name.split('_') for name in names]
    shared = 0
    while all(len(part) > shared + 1 for part in parts) and len({part[-1 - shared] for part in parts}) == 1:
        shared += 1
    return '_' + '_'.join(parts[0][-shared:]) if shared else ''


def text_table(header: Sequence[str], rows: Sequence[Sequence[str] | None]) -> str:
    """Lay out a plain-text table; the first column is left-aligned, the others right-aligned; None is a rule."""
    cells = [header, *[row for row in rows if row is not None]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        aligned = [row[0].ljust(widths[0])] + [text.rjust(width) for text, width in zip(row[1:], widths[1:])]
        return '  '.join(aligned).rstrip()

    rule = '-' * (sum(widths) + 2 * (len(widths) - 1))
    return '\n'.join([line(header), rule, *[rule if row is None else line(row) for row in rows]])


def _miou(record: Mapping[str, Any]) -> str:
    value = (record.get('metrics') or {}).get('mIoU')
    return f'{value:.2f}' if isinstance(value, (int, float)) and math.isfinite(value) else 'n/a'


def format_results_table(results: Mapping[str, Any]) -> str:
    """Return the table that a run prints at its end.

    Args:
        results (Mapping[str, Any]): the content of ``results.json``.

    Returns:
        str: a line of title, then a row for every evaluated stage and every baseline: mIoU, labelled share, pixels,
        points, labelling time. Missing values are ``n/a``.
    """
    stages, baselines = results.get('stages') or [], results.get('baselines') or []
    rows: list[list[str] | None] = []
    for record in stages:
        labelled = record.get('labelled') or {}
        seconds = labelled.get('seconds') or 0.0
        rows.append(
            [
                str(record.get('name', '?')),
                _miou(record),
                percent(labelled.get('portion') or 0.0),
                f'{int(labelled.get("pixels") or 0):,}',
                f'{int(labelled.get("points") or 0):,}',
                human_seconds(seconds) if seconds else '-',
            ]
        )
    if baselines:
        rows.append(None)
    for record in baselines:
        seed = '' if record.get('seed') is None else f' (seed {record["seed"]})'
        rows.append([f'{record.get("name", "?")}{seed}', _miou(record), '-', '-', '-', '-'])
    title = str(results.get('name', 'run'))
    details = [f'{key} {results[key]}' for key in ('protocol', 'seed') if results.get(key) is not None]
    title += f' ({", ".join(details)})' if details else ''
    return title + '\n' + text_table(['stage', 'mIoU', 'labelled', 'pixels', 'points', 'labelling time'], rows)
