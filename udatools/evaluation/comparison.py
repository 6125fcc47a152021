# SPDX-License-Identifier: Apache-2.0
"""Tables over runs and seeds; columns of metrics name their protocol.

Ratios and differences are taken between runs of the same seed and averaged then. Times and memory are ratios too: absolute
ones say more about the machine, and who else was using it, than about the method.
"""
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from udatools.evaluation.evenness import normalised_entropy
from udatools.utils.atomic import write_text_atomic
from udatools.visualization.tables import common_suffix, human_seconds

Row = dict[str, Any]
Record = Mapping[str, Any]
Runs = Mapping[str, Sequence[Mapping[str, Any]]]


def comparison_rows(runs: Runs, reference: str = 'supervised', *, baseline: str = 'source_only',
                    all_stages: bool = False) -> list[Row]:
    """One row for the last stage of every config, or for every evaluated stage.

    Args:
        runs (Mapping): contents of ``results.json`` by config name, one for each seed.
        reference (str): the run whose name starts with it is the 100 % of ``relative``.
        baseline (str): the run whose name starts with it is what gains, times and memory are compared with.
        all_stages (bool): all evaluated stages instead of the last.

    Returns:
        list[dict]: ``run``, ``method`` (the name without the ending that all share), ``protocol``, ``stage``, ``seeds``, ``mIoU``
        and ``std`` (percent; sample standard deviation, None for one seed), ``values`` (mIoU by seed), ``IoU`` (by class,
        percent, mean over the seeds; None for a class that no seed has), ``checkpoint`` (how it was chosen: ``last`` or a
        criterion), ``labelled`` (share of native target pixels, percent, mean), ``gain`` (mIoU above the baseline, points),
        ``relative`` (percent of the reference), ``seconds`` and ``memory`` (of training, all stages up to this one; bytes;
        means), ``time_ratio`` and ``memory_ratio`` (to the baseline; on a CPU the time of the processors, which others on the
        machine do not change).
        ``VPQs`` and ``VPQs_std`` as mIoU, None where not all seeds have it; ``labelling_seconds`` of people up to this stage, by
        the cost model, and ``evenness`` of their answers over the classes (:func:`normalised_entropy`), None without answers.
        Gains and shares that are not known for all seeds of the row are None; costs are means over the seeds that have them.

    Raises:
        ValueError: when the runs follow different protocols.
    """
    protocols = {result['protocol'] for results in runs.values() for result in results}
    if len(protocols) > 1:
        raise ValueError(f'the runs follow different protocols: {", ".join(sorted(protocols))}; compare them one by one')
    protocol, = protocols
    names = dict(zip(runs, _without_suffix(list(runs))))
    hundred, zero = _last_records(runs, reference), _last_records(runs, baseline)
    rows: list[Row] = []
    for name, results in runs.items():
        for stage in [record['name'] for record in results[0]['stages']][0 if all_stages else -1:]:
            records = {result['seed']: record for result in sorted(results, key=lambda item: item['seed'])
                       for record in result['stages'] if record['name'] == stage}
            rows.append({'run': name, 'method': names[name], 'protocol': protocol, 'stage': stage}
                        | _summary(records, hundred, zero) | {'evenness': _mean(_evenness(result, stage) for result in results)})
    return rows


def _without_suffix(names: list[str]) -> list[str]:
    suffix = common_suffix(names)
    return [name.removesuffix(suffix) for name in names]


def _last_records(runs: Runs, start: str) -> dict[int, Record]:
    """Last stage by seed of the run with the shortest name that starts like this."""
    found = sorted((name for name in runs if name.startswith(start)), key=len)
    return {result['seed']: result['stages'][-1] for result in runs[found[0]]} if found else {}


def _evenness(result: Mapping[str, Any], last: str) -> float | None:
    """Of all answers up to a stage; None without one."""
    total: Counter[str] = Counter()
    for record in result['stages']:
        total.update(record['labelled'].get('classes', {}))
        if record['name'] == last:
            break
    return normalised_entropy(total.values(), len(result['classes'])) if total.total() else None


def _summary(records: Mapping[int, Record], hundred: Mapping[int, Record], zero: Mapping[int, Record]) -> Row:
    values = {seed: _miou(record) for seed, record in records.items()}
    tubes = [record['metrics'].get('VPQs') for record in records.values()]
    seconds = statistics.mean(record['labelled'].get('seconds', 0.0) for record in records.values())

    def paired(others: Mapping[int, Record], rule: Callable[[Record, Record], float | None]) -> list[float | None]:
        return [rule(record, others[seed]) if seed in others else None for seed, record in records.items()]

    return {
        'seeds': len(values), 'values': values, 'mIoU': statistics.mean(values.values()),
        'std': _std(list(values.values())), 'VPQs': _mean(tubes), 'VPQs_std': None if None in tubes else _std(tubes),
        'IoU': _mean_by_class(list(records.values())),
        'checkpoint': ', '.join(sorted({_choice(record) for record in records.values()})),
        'labelling_seconds': seconds or None,
        'labelled': 100 * statistics.mean(record['labelled']['portion'] for record in records.values()),
        'gain': _mean(paired(zero, lambda own, other: _miou(own) - _miou(other))),
        'relative': _mean(paired(hundred, lambda own, other: 100 * _miou(own) / _miou(other) if _miou(other) else None)),
        'seconds': _mean_of_known(_cost(record, 'train_seconds') for record in records.values()),
        'memory': _mean_of_known(_cost(record, 'peak_memory_bytes') for record in records.values()),
        'time_ratio': _mean_of_known(paired(zero, lambda own, other: _cost_ratio(own, other, _clock(own)))),
        'memory_ratio': _mean_of_known(paired(zero, lambda own, other: _cost_ratio(own, other, 'peak_memory_bytes'))),
    }


def _std(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _mean(values: Iterable[float | None]) -> float | None:
    """None as soon as one value is."""
    known = list(values)
    return None if not known or None in known else statistics.mean(value for value in known if value is not None)


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    """None when none is known."""
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None


def _mean_by_class(records: Sequence[Record]) -> dict[str, float | None]:
    """Over the seeds that have the class."""
    found: dict[str, list[float]] = {}
    for record in records:
        for name, value in record['metrics'].get('IoU', {}).items():
            found.setdefault(name, []).extend([] if value is None else [value])
    return {name: statistics.mean(values) if values else None for name, values in found.items()}


def _miou(record: Record) -> float:
    return record['metrics']['mIoU']


def _choice(record: Record) -> str:
    selection = record.get('selection') or {'criterion': 'last'}
    return selection['criterion'] + (' (oracle)' if selection.get('uses_target_labels') else '')


def _cost(record: Record, key: str) -> float | None:
    """Of all stages up to this one; None for runs that were made before costs were written."""
    return ((record.get('cost') or {}).get('total') or {}).get(key)


def _clock(record: Record) -> str:
    return 'processor_seconds' if (record.get('cost') or {}).get('device') == 'cpu' else 'train_seconds'


def _cost_ratio(own: Record, other: Record, key: str) -> float | None:
    """None between devices."""
    mine, theirs = _cost(own, key), _cost(other, key)
    return mine / theirs if mine is not None and theirs and own['cost']['device'] == other['cost']['device'] else None


def _number(value: float | None, form: str) -> str:
    return '-' if value is None else form.format(value)


def _with_std(value: float | None, std: float | None) -> str:
    return _number(value, '{:.1f}') + ('' if std is None else f' ± {std:.1f}')


COLUMNS: dict[str, Callable[[Row], str]] = {
    'method': lambda row: row['method'],
    'stage': lambda row: row['stage'],
    'seeds': lambda row: str(row['seeds']),
    'mIoU': lambda row: _with_std(row['mIoU'], row['std']),
    'VPQ^s': lambda row: _with_std(row['VPQs'], row['VPQs_std']),
    'by seed': lambda row: ' / '.join(f'{value:.1f}' for value in row['values'].values()),
    'gain': lambda row: _number(row['gain'], '{:+.1f}'),
    'checkpoint': lambda row: row['checkpoint'],
    'labelled pixels': lambda row: f'{row["labelled"]:.2f} %' if row['labelled'] else '-',
    'labelling': lambda row: '-' if row['labelling_seconds'] is None else human_seconds(row['labelling_seconds']),
    'evenness': lambda row: _number(row['evenness'], '{:.3f}'),
    'time': lambda row: _number(row['time_ratio'], '×{:.2f}'),
    'memory': lambda row: _number(row['memory_ratio'], '×{:.2f}'),
    'training time': lambda row: '-' if row['seconds'] is None else human_seconds(row['seconds']),
    'peak memory': lambda row: '-' if row['memory'] is None else f'{row["memory"] / 2**20:.0f} MiB',
    'of supervised': lambda row: _number(row['relative'], '{:.1f} %'),
}
METRICS = ('mIoU', 'VPQ^s')
_COST = {False: ('time', 'memory'), True: ('training time', 'peak memory')}


def format_markdown(rows: Sequence[Row], *, stages: bool = False, compact: bool = False, absolute: bool = False) -> str:
    """A Markdown table of ``comparison_rows``; says how checkpoints were chosen, unless all are the last.

    VPQ^s stands there where a run has it; what labelling cost, and how even it was, where two can be compared by it.

    Args:
        rows (Sequence[dict]): of ``comparison_rows``.
        stages (bool): with the column of stages.
        compact (bool): without seeds and their values.
        absolute (bool): training time and peak memory of this machine; otherwise the ratios to the baseline.
    """
    chosen = any(row['checkpoint'] != 'last' for row in rows)
    tubes = any(row['VPQs'] is not None for row in rows)
    people = sum(row['evenness'] is not None for row in rows) > 1
    names = ['method', *(['stage'] if stages else []), *(['checkpoint'] if chosen else []), *([] if compact else ['seeds']),
             'mIoU', *([] if compact else ['by seed']), *(['VPQ^s'] if tubes else []), 'gain', 'labelled pixels',
             *(['labelling', 'evenness'] if people else []), *_COST[absolute], 'of supervised']
    header = [_with_protocol(name, rows) if name in METRICS else name for name in names]
    return _table(header, [[COLUMNS[name](row) for name in names] for row in rows])


def format_classes(rows: Sequence[Row], *, stages: bool = False) -> str:
    """A Markdown table of the IoU of every class, mean over seeds, one row a method."""
    classes = list(dict.fromkeys(name for row in rows for name in row['IoU']))
    names = ['method', *(['stage'] if stages else [])]
    return _table([*names, _with_protocol('mIoU', rows), *classes], [
        [*(COLUMNS[name](row) for name in names), f'{row["mIoU"]:.1f}',
         *(_number(row['IoU'].get(name), '{:.1f}') for name in classes)] for row in rows])


def _with_protocol(metric: str, rows: Sequence[Row]) -> str:
    return f'{metric} ({rows[0]["protocol"]})'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f'| {" | ".join(cells)} |' for cells in (header, *rows)]
    return '\n'.join([lines[0], '|---' * len(header) + '|', *lines[1:]])


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
