# SPDX-License-Identifier: Apache-2.0
"""Tables over runs and seeds."""
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from udatools.utils.atomic import write_text_atomic

Row = dict[str, Any]


def comparison_rows(runs: Mapping[str, Sequence[Mapping[str, Any]]], reference: str = 'supervised') -> list[Row]:
    """One row for every evaluated stage of every config.

    Args:
        runs (Mapping): contents of ``results.json`` by config name, one for each seed.
        reference (str): the run whose name starts with it is the 100 % of the last column.

    Returns:
        list[dict]: ``run``, ``stage``, ``seeds``, ``mIoU`` and ``std`` (percent; sample standard deviation, None for one
        seed), ``labelled`` (share of native target pixels, percent, mean), ``relative`` (percent of the reference, the mean
        over seeds of the ratio of the same seed; None without a reference), ``values`` (mIoU by seed).

    Raises:
        ValueError: when the runs follow different protocols.
    """
    protocols = {result['protocol'] for results in runs.values() for result in results}
    if len(protocols) > 1:
        raise ValueError(f'the runs follow different protocols: {", ".join(sorted(protocols))}; compare them one by one')
    hundred = {result['seed']: result['stages'][-1]['metrics']['mIoU']
               for name, results in runs.items() if name.startswith(reference) for result in results}
    rows: list[Row] = []
    for name, results in runs.items():
        for stage in [record['name'] for record in results[0]['stages']]:
            records = {result['seed']: record for result in results for record in result['stages'] if record['name'] == stage}
            values = {seed: record['metrics']['mIoU'] for seed, record in sorted(records.items())}
            ratios = [100 * value / hundred[seed] for seed, value in values.items() if hundred.get(seed)]
            rows.append({
                'run': name, 'stage': stage, 'seeds': len(values), 'mIoU': statistics.mean(values.values()),
                'std': statistics.stdev(values.values()) if len(values) > 1 else None,
                'labelled': 100 * statistics.mean(record['labelled']['portion'] for record in records.values()),
                'relative': statistics.mean(ratios) if len(ratios) == len(values) else None, 'values': values,
            })
    return rows


def format_markdown(rows: Sequence[Row]) -> str:
    """A Markdown table of ``comparison_rows``; mean +/- standard deviation, and every seed's value."""
    lines = ['| run | stage | seeds | mIoU | by seed | labelled pixels | of supervised |', '|---|---|---|---|---|---|---|']
    for row in rows:
        spread = '' if row['std'] is None else f' ± {row["std"]:.1f}'
        by_seed = ' / '.join(f'{value:.1f}' for value in row['values'].values())
        labelled = '-' if not row['labelled'] else f'{row["labelled"]:.2f} %'
        relative = '-' if row['relative'] is None else f'{row["relative"]:.1f} %'
        cells = (row['run'], row['stage'], row['seeds'], f'{row["mIoU"]:.1f}{spread}', by_seed, labelled, relative)
        lines.append(f'| {" | ".join(map(str, cells))} |')
    return '\n'.join(lines)


def update_between_markers(path: Path, marker: str, text: str) -> None:
    """Replaces what stands between ``<!-- results:MARKER -->`` and ``<!-- /results -->``.

    Raises:
        ValueError: when the file has no such markers; it is left as it was.
    """
    content = path.read_text(encoding='utf-8')
    begin, end = f'<!-- results:{marker} -->', '<!-- /results -->'
    start = content.find(begin)
    stop = content.find(end, start)
    if start < 0 or stop < 0:
        raise ValueError(f'{path} has no {begin} ... {end}; put these two lines where the table belongs')
    write_text_atomic(path, f'{content[:start + len(begin)]}\n{text}\n{content[stop:]}')
