# SPDX-License-Identifier: Apache-2.0
"""Where a campaign of labelling stands: what was asked, answered and spent, what is left, how far people agree."""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from udatools.visualization.tables import human_seconds, percent, text_table

from .codecs.page import PageCodec
from .ledger_reader import SPENT_COLUMNS, LedgerReader, column_of
from .package_files import LEDGER, package_of_round
from .progress import request_progress, unit_of, units_answered
from .request import NOT_ANSWERED, VOID, Request

_COSTS = ('images', *SPENT_COLUMNS)


def campaign_status(work_dir: str | Path) -> dict[str, Any]:
    """Read the state of a campaign; nothing is written.

    Returns:
        dict: JSON-able: ``run``, ``policy``, ``total_pixels``, ``budget`` (None or ``unit``, ``limit``, ``image_limit``,
        ``round_limit``, ``spent``, ``left``), ``spent`` (by unit), ``left`` (by unit, None without a limit in that unit),
        ``open`` (by unit, what the waiting round still asks; clicks one a point or region, seconds at the pace so far),
        ``rounds``, ``people``, ``coverage`` (every class), ``disagreement``, ``closures``.

    Raises:
        FileNotFoundError: if nothing was asked there.
    """
    work_dir = Path(work_dir)
    if not (work_dir / LEDGER).is_file():
        raise FileNotFoundError(f'{work_dir} has no {LEDGER}: no round of labelling was asked there; give the work directory '
                                'of a run with an ActiveLabelingHook')
    with LedgerReader(work_dir / LEDGER) as ledger:
        settings, spent = ledger.settings(), ledger.spent()
        names = {row['id']: row['name'] for row in settings.get('classes', ())}
        names[VOID] = 'void'
        total = settings.get('total_pixels', 0)
        budget = _budget(ledger, spent)
        left: dict[str, float | None] = dict.fromkeys(SPENT_COLUMNS)
        if budget is not None:
            left[column_of(budget['unit'])] = budget['left']
        closures = ledger.closures()
        found_classes = ledger.coverage()
        coverage = [dict(id=class_id, name=names.get(class_id, str(class_id)), **count,
                         share=count['pixels'] / total if total else None)
                    for class_id in sorted({*names, *found_classes})
                    for count in (found_classes.get(class_id, dict(pixels=0, images=0)), )]
        pairs = ledger.disagreement()
        for pair in pairs:
            pair['classes'] = {names.get(class_id, str(class_id)): count for class_id, count in pair['classes'].items()}
        people = [dict(annotator=person, **ledger.spent(annotator=person), rounds={
            round: found for round in ledger.rounds()
            if (found := ledger.spent(round=round, annotator=person))['images']}) for person in ledger.annotators()]
        rounds = [_round(work_dir, ledger, number, closures) for number in ledger.rounds()]
        return dict(work_dir=str(work_dir), run=settings.get('run', ''), policy=ledger.policy(), total_pixels=total,
                    budget=budget, spent=spent, left=left, open=_open(rounds, spent), rounds=rounds,
                    people=people, coverage=coverage, disagreement=pairs, closures=closures)


def _budget(ledger: LedgerReader, spent: Mapping[str, Any]) -> dict[str, Any] | None:
    limit = ledger.budget()
    if limit is None:
        return None
    unit, amount = limit
    used = spent[column_of(unit)]
    limits = ledger.limits()
    return dict(unit=unit, limit=amount, image_limit=limits.of_image, round_limit=limits.in_round, spent=used, left=amount - used)


def _round(work_dir: Path, ledger: LedgerReader, number: int, closures: list[dict[str, Any]]) -> dict[str, Any]:
    """One round; exact counts of what is open where its package is at hand."""
    why = ledger.why_closed(number)
    about: dict[str, Any] = dict(round=number, request_id=ledger.request_of_round(number),
                                 state='waiting' if why is None else 'closed', reason=why)
    closure = next((row for row in closures if row['round'] == number), None)
    spent = ledger.spent(round=number)
    request = package_of_round(work_dir, number)
    if request is not None and request.request_id != about['request_id']:
        request = None
    if request is not None:
        about.update(kind=request.kind, unit=unit_of(request.kind), asked_images=len(request.asked_keys()),
                     asked_pixels=sum(item.asked for item in request.items))
    if closure is not None:
        about.update(asked=closure['asked'], answered=closure['answered'])
    elif request is None:
        about.update(asked=None, answered=spent['components'])
    else:
        progress = request_progress(ledger, request)
        about.update(asked=progress.asked, answered=progress.answered)
        if why is None:
            about.update(complete_images=progress.done, not_imported=_not_imported(ledger, request))
            about['state'] = 'answered' if progress.answered == progress.asked else 'waiting'
    return {**about, 'spent': spent}


def _not_imported(ledger: LedgerReader, request: Request) -> int:
    """Points or regions that are answered in the log of the annotator page and not in the ledger."""
    if not (request.root / PageCodec.filename).is_file():
        return 0
    on_page: dict[str, np.ndarray] = {}
    for answer in PageCodec().read(request.root, request).answers:
        on_page[answer.key] = on_page.get(answer.key, False) | (answer.answer != NOT_ANSWERED)
    count = 0
    for key, answered in on_page.items():
        stored = ledger.answered_mask(key)
        stored = np.zeros_like(answered) if stored is None else stored
        count += units_answered(request, key, answered | stored) - units_answered(request, key, stored)
    return count


def _open(rounds: Sequence[Mapping[str, Any]], spent: Mapping[str, Any]) -> dict[str, float | None]:
    """What the waiting round still asks, by unit; None where its package is not at hand."""
    waiting = [row for row in rounds if row['state'] == 'waiting']
    if any('unit' not in row for row in waiting):
        return dict.fromkeys(SPENT_COLUMNS)
    units = sum(row['asked'] - row['answered'] for row in waiting)
    pixels = sum(row['asked_pixels'] - row['spent']['pixels'] for row in waiting if row['unit'] != 'images')
    pace = spent['seconds'] / spent['components'] if spent['components'] else None
    return dict(pixels=pixels, points=sum(row['asked'] - row['answered'] for row in waiting if row['kind'] == 'points'),
                clicks=units, components=units, seconds=None if pace is None else round(units * pace, 1), void=None)


def format_status(status: Mapping[str, Any]) -> str:
    """The status for a console."""
    total = status['total_pixels']
    lines = [f'{status["run"] or "campaign"} in {status["work_dir"]}']
    if (budget := status['budget']) is not None:
        each = ''.join(f', {budget[name]:g} {of}' for name, of in (('round_limit', 'a round'), ('image_limit', 'an image'))
                       if budget[name] is not None)
        lines.append(f'Budget: {budget["limit"]:g} {budget["unit"]}{each}; {budget["spent"]:g} spent, {budget["left"]:g} left.')
    else:
        lines.append('No budget: everything that the selector offers is asked.')
    lines += ['', text_table(['unit', 'spent', 'left', 'still asked'], [
        ['regions' if name == 'components' else name, f'{status["spent"][name]:g}',
         *('-' if status[what].get(name) is None else f'{status[what][name]:g}' for what in ('left', 'open'))]
        for name in SPENT_COLUMNS])]
    if total:
        lines.append(f'{percent(status["spent"]["pixels"] / total)} of {total} pixels, '
                     f'{human_seconds(status["spent"]["seconds"])} of work.')
    rows = [[f'round {row["round"]}', row['state'], row.get('kind') or '?', _number(row['asked']), _number(row['answered']),
             *(f'{row["spent"][name]:g}' for name in _COSTS)] for row in status['rounds']]
    headings = ['regions' if name == 'components' else name for name in _COSTS]
    lines += ['', text_table(['', 'state', 'kind', 'units asked', 'answered', *headings], rows)]
    lines += [f'Round {row["round"]}: {row["reason"]}' for row in status['rounds'] if row['reason']]
    lines += [f'Round {row["round"]}: {row["not_imported"]} {row["unit"]} are answered on the page and not in the ledger yet; '
              f'python tools/active/import_answers.py {status["work_dir"]} brings them in.'
              for row in status['rounds'] if row.get('not_imported')]
    people = []
    for person in status['people']:
        people.append([person['annotator'], 'all', *(f'{person[name]:g}' for name in _COSTS)])
        if len(person['rounds']) > 1:
            people += [['', str(number), *(f'{spent[name]:g}' for name in _COSTS)]
                       for number, spent in person['rounds'].items()]
    if people:
        lines += ['', text_table(['who', 'round', *headings], people)]
    if status['coverage']:
        lines += ['', text_table(['class', 'pixels', 'images', 'of all pixels'], [
            [row['name'], str(row['pixels']), str(row['images']), '-' if row['share'] is None else percent(row['share'])]
            for row in status['coverage']])]
    if status['disagreement']:
        lines += ['', f'Where people differ, the policy is {status["policy"]!r}.', text_table(
            ['people', 'both answered', 'differ', 'share', 'most in'], [
                [' / '.join(pair['people']), str(pair['pixels']), str(pair['differ']), f'{pair["share"]:.1%}', _worst(pair)]
                for pair in status['disagreement']])]
    return '\n'.join(lines)


def _number(value: float | None) -> str:
    return '?' if value is None else f'{value:g}'


def _worst(pair: Mapping[str, Any]) -> str:
    """The class with the most differing pixels."""
    name, count = max(pair['classes'].items(), key=lambda entry: entry[1]['differ'])
    return f'{name} ({count["differ"]} of {count["either"]})' if count['differ'] else '-'
