# SPDX-License-Identifier: Apache-2.0
"""The sections of a campaign's page, each from data to HTML; one without data is an empty string."""

import math
import re
from collections.abc import Sequence
from html import escape

import numpy as np

from udatools.visualization.campaign.charts import MixRow, Series, class_mix, cost_curve, gain_scatter
from udatools.visualization.campaign.data import Campaign, Round
from udatools.visualization.campaign.outlook import NextQuestions, Outlook, Picture, Verdict
from udatools.visualization.page import data_url, figure, section, swatch, table, tiles
from udatools.visualization.panels import panel_cells, thicken
from udatools.visualization.report import stage_label
from udatools.visualization.run_data import Baseline
from udatools.visualization.tables import human_count, human_seconds, percent

__all__ = ['anchor', 'campaign_parts', 'comparison_parts', 'headline']

WIDE, NARROW = 980, 350
UNITS = {'seconds': 'hours of labelling', 'clicks': 'clicks', 'pixels': 'answered pixels'}
NOUNS = {'segments': 'segments', 'points': 'points', 'regions': 'regions', 'tags': 'images', 'class_points': 'images'}


def anchor(campaign: Campaign) -> str:
    """Id of the sections of one run."""
    return 'run-' + re.sub(r'\W+', '-', campaign.label)


def _number(value: float, digits: int = 1, sign: bool = False) -> str:
    return f'{value:{"+" if sign else ""}.{digits}f}' if math.isfinite(value) else '–'


def _supervised(baselines: Sequence[Baseline]) -> Baseline | None:
    return next((b for b in baselines if 'supervised' in b.name and 'unsupervised' not in b.name), None)


def _final(campaign: Campaign) -> float:
    return next((entry.miou for entry in reversed(campaign.rounds) if math.isfinite(entry.miou)), math.nan)


def _miou(campaigns: Sequence[Campaign]) -> str:
    """What the accuracy of these runs is called: with the name of its protocol."""
    protocols = ', '.join(dict.fromkeys(campaign.run.protocol for campaign in campaigns if campaign.run.protocol))
    return f'mIoU ({protocols})' if protocols else 'mIoU'


def headline(campaigns: Sequence[Campaign], baselines: Sequence[Baseline]) -> str:
    """Key figures of the best run."""
    best = max(campaigns, key=lambda campaign: (math.isfinite(_final(campaign)), _final(campaign)))
    miou, start, supervised = _final(best), best.start, _supervised(baselines)
    of = f', {best.label}' if len(campaigns) > 1 else ''
    items = [(f'{_miou([best])} at the end', _number(miou), f'percent{of}')]
    if start is not None and math.isfinite(miou - start.miou):
        items.append(('gained by labels', f'{miou - start.miou:+.1f}', f'points, from {_number(start.miou)}'))
    if supervised is not None and math.isfinite(miou) and supervised.miou > 0:
        items.append(('of full labelling', f'{miou / supervised.miou:.1%}', f'{_number(supervised.miou)} with every label'))
    seconds = best.total('seconds')
    share = f'{percent(min(1.0, seconds / best.full_seconds))} of labelling all' if best.full_seconds else 'in all rounds'
    items.append(('labelling time', _hours(seconds), share))
    items.append(('clicks', human_count(best.total('clicks')), _per_image(best.total('clicks'), best.images)))
    items.append(('answered pixels', human_count(best.total('pixels')),
                  f'{percent(best.total("pixels") / best.total_pixels)} of all' if best.total_pixels else 'void included'))
    return tiles(items)


def _hours(seconds: float) -> str:
    return f'{seconds / 3600:,.0f} h' if seconds >= 36000 else human_seconds(seconds)


def _per_image(count: float, images: int) -> str:
    return f'{count / images:,.0f} an image' if images else 'in all rounds'


# -- all runs ------------------------------------------------------------------------------------------------------


def comparison_parts(campaigns: Sequence[Campaign], baselines: Sequence[Baseline]) -> list[str]:
    """The two figures: what was selected, and what it cost."""
    return [_costs(campaigns, baselines), _selected(campaigns)]


def _costs(campaigns: Sequence[Campaign], baselines: Sequence[Baseline]) -> str:
    supervised = _supervised(baselines)
    drawn = {}
    for unit, axis in UNITS.items():
        scale = 3600.0 if unit == 'seconds' else 1.0
        series = []
        for campaign in campaigns:
            points = [(f'round {number}', cost / scale, miou) for number, cost, miou in campaign.curve(unit) if cost > 0]
            if points:
                start = campaign.start
                series.append(Series(campaign.label, points, math.nan if start is None else start.miou))
        references = {b.name.replace('_', ' '): b.miou for b in baselines if b is not supervised}
        if supervised is not None and math.isfinite(supervised.miou):
            first = campaigns[0]
            full = {'seconds': first.full_seconds / scale, 'pixels': float(first.total_pixels)}.get(unit, 0.0)
            if full > 0:
                series.append(Series('full labelling', [('every image', full, supervised.miou)], full=True))
            else:
                references['full labelling'] = supervised.miou
        size = (WIDE, 380) if unit == 'seconds' else (460, 300)
        drawn[unit] = figure(cost_curve(series, references, axis, *size), cost_curve(series, references, axis, NARROW, 300))
    if not any('<svg' in chart for chart in drawn.values()):
        return ''
    first = campaigns[0]
    note = 'Each point is a round; at 0 stands the model before its first label. The cost axes are logarithmic.'
    if supervised is not None and first.images:
        note += (
            f' Full labelling: {first.images:,} images at {human_seconds(first.costs.image_seconds)} each, the figure that '
            f'the cost model of the run uses.'
        )
    pair = f'<div class="pair"><div>{drawn["clicks"]}</div><div>{drawn["pixels"]}</div></div>'
    return section('Cost against accuracy', f'{drawn["seconds"]}{pair}{_cost_table(campaigns, baselines)}', note)


def _cost_table(campaigns: Sequence[Campaign], baselines: Sequence[Baseline]) -> str:
    header = ['run', 'rounds', 'time', 'clicks', 'points', 'pixels', 'share', 'evenness', _miou(campaigns), 'of full']
    supervised = _supervised(baselines)

    def share(value: float) -> str:
        known = supervised is not None and supervised.miou > 0 and math.isfinite(value)
        return f'{value / supervised.miou:.1%}' if known and supervised is not None else '–'

    rows = []
    for campaign in campaigns:
        pixels = campaign.total('pixels')
        cells = [
            str(len(campaign.rounds)), human_seconds(campaign.total('seconds')), human_count(campaign.total('clicks')),
            human_count(campaign.total('points')) if campaign.total('points') else '–', human_count(pixels),
            percent(pixels / campaign.total_pixels) if campaign.total_pixels else '–',
            _number(campaign.evenness(campaign.classes), 2), _number(_final(campaign)), share(_final(campaign)),
        ]
        rows.append([f'<th scope="row">{escape(campaign.label)}</th>', *[f'<td>{cell}</td>' for cell in cells]])
    after = None
    first = campaigns[0]
    if supervised is not None and first.images:
        cells = ['–', human_seconds(first.full_seconds), '–', '–', human_count(first.total_pixels), '100%', '–',
                 _number(supervised.miou), '100.0%']
        after = ['<th scope="row">full labelling</th>', *[f'<td>{cell}</td>' for cell in cells]]
    return table(header, rows, after=after)


def _selected(campaigns: Sequence[Campaign]) -> str:
    rows = []
    for campaign in campaigns:
        for entry in campaign.rounds:
            rows += _mix(campaign, campaign.label, f'step {entry.number}', entry.classes)
        if len(campaign.rounds) > 1:
            rows += _mix(campaign, campaign.label, 'all steps', campaign.classes)
    if not rows:
        return ''
    first = next((campaign for campaign in campaigns if campaign.run.class_frequency), campaigns[0])
    frequency = first.run.class_frequency
    if frequency:
        rows += [MixRow('all target pixels', 'predicted', frequency, first.evenness(frequency), muted=True)]
    return _mix_section(
        'Classes of the selected pixels', rows, first,
        'Answered pixels by class, step by step; void answers are left out. Evenness is the entropy of the class histogram '
        'divided by that of an even one: 0 is a single class, 1 all classes alike.',
    )


def _mix(campaign: Campaign, group: str, label: str, counts: dict[str, int]) -> list[MixRow]:
    total = sum(counts.values())
    if not total:
        return []
    return [MixRow(group, label, {name: n / total for name, n in counts.items()}, campaign.evenness(counts))]


def _mix_section(title: str, rows: Sequence[MixRow], campaign: Campaign, note: str) -> str:
    return section(title, _mix_figure(rows, campaign), note)


def _mix_figure(rows: Sequence[MixRow], campaign: Campaign) -> str:
    run = campaign.run
    drawn = figure(class_mix(rows, run.classes, run.palette, WIDE), class_mix(rows, run.classes, run.palette, NARROW))
    return f'<div class="key">{_legend(campaign)}</div>{drawn}'


def _legend(campaign: Campaign) -> str:
    run = campaign.run
    return ''.join(f'<span>{swatch(colour)}{escape(name)}</span>' for name, colour in zip(run.classes, run.palette))


# -- one run -------------------------------------------------------------------------------------------------------


def campaign_parts(campaign: Campaign, outlook: Outlook, problem: str | None = None, *, named: bool = False) -> list[str]:
    """The sections of one run.

    Args:
        campaign (Campaign): of the run.
        outlook (Outlook): its worst images and next questions.
        problem (str | None): why the final models could not be used.
        named (bool): say in every heading which run it is.
    """
    of = f': {campaign.label}' if named else ''
    return [_rounds(campaign, of), _gains(campaign, of), _worst(campaign, outlook, of),
            _next(campaign, outlook.upcoming, problem, of)]


def _rounds(campaign: Campaign, of: str) -> str:
    if not campaign.rounds:
        return ''
    header = ['round', 'asked', 'units', 'images', 'answered', 'void', 'rejected', 'conflicts', 'clicks', 'time',
              _miou([campaign]), 'gain']

    def cells(entry: Round) -> list[str]:
        spent, css = entry.spent, 'up' if entry.gain > 0.05 else 'down' if entry.gain < -0.05 else ''
        texts = [
            human_count(entry.asked), human_count(entry.units), human_count(entry.images), human_count(spent['pixels']),
            human_count(spent['void']), human_count(entry.rejected), human_count(entry.conflicts),
            human_count(spent['clicks']), human_seconds(spent['seconds']), _number(entry.miou),
        ]
        return [*[f'<td>{text}</td>' for text in texts], f'<td class="gain {css}">{_number(entry.gain, sign=True)}</td>']

    rows = [[f'<th scope="row">{entry.number}</th>', *cells(entry)] for entry in campaign.rounds]
    total = Round(
        0, asked=sum(entry.asked for entry in campaign.rounds), units=sum(entry.units for entry in campaign.rounds),
        images=max(entry.images for entry in campaign.rounds), rejected=sum(entry.rejected for entry in campaign.rounds),
        conflicts=sum(entry.conflicts for entry in campaign.rounds), miou=_final(campaign),
        spent={name: campaign.total(name) for name in ('pixels', 'void', 'clicks', 'seconds')},
    )
    total.gain = total.miou - campaign.start.miou if campaign.start is not None else math.nan
    people = sorted({name for entry in campaign.rounds for name in entry.people})
    nouns = ' and '.join(dict.fromkeys(NOUNS.get(entry.kind, entry.kind) for entry in campaign.rounds))
    note = (
        f'Units are {nouns}; the other counts are pixels. Void is an answer (no class, or unsure) and is paid for; rejected '
        f'are answers outside of the question; conflicts are pixels on which people differ. The gain is over the round '
        f'before. Answered by {_listed(people)}.'
    )
    body = table(header, rows, foot=['<th scope="row">all</th>', *cells(total)])
    return f'<a id="{escape(anchor(campaign), quote=True)}"></a>' + section(f'Rounds{of}', body, note)


def _listed(names: Sequence[str]) -> str:
    shown = [*names[:6], *([f'{len(names) - 6} more'] if len(names) > 6 else [])]
    return ' and '.join([', '.join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown) or 'nobody yet'


def _gains(campaign: Campaign, of: str) -> str:
    gains = sorted(campaign.gains(), key=lambda entry: -entry.gain)
    if not gains:
        return ''
    run, total = campaign.run, max(1, sum(campaign.classes.values()))
    colours = dict(zip(run.classes, run.palette))
    points = [(entry.name, float(entry.pixels), entry.gain, colours[entry.name]) for entry in gains]
    rows = [
        [
            f'<th scope="row">{swatch(colours[entry.name])}{escape(entry.name)}</th>', f'<td>{entry.pixels:,}</td>',
            f'<td>{percent(entry.pixels / total)}</td>', f'<td>{_number(entry.first)}</td>', f'<td>{_number(entry.last)}</td>',
            f'<td class="gain {"up" if entry.gain > 0.05 else "down" if entry.gain < -0.05 else ""}">'
            f'{_number(entry.gain, sign=True)}</td>',
        ]
        for entry in gains
    ]
    first, last = (stage_label(stage, run) for stage in (run.stages[0], run.stages[-1]))
    numbers = table(['class', 'answered pixels', 'of the answers', first, last, 'gain'], rows)
    drawn = figure(gain_scatter(points, WIDE, 420), gain_scatter(points, NARROW, 360))
    most, least = gains[0], gains[-1]
    note = (
        f'IoU after {last} over that of {first}. Most: {most.name} ({most.gain:+.1f}); least: {least.name} '
        f'({least.gain:+.1f}). A class far to the right and low got labels that did not help; one to the left and low was hardly '
        f'asked about.'
    )
    body = f'{drawn}<details><summary>The numbers</summary>{numbers}</details>'
    return section(f'What each class gained{of}', body, note)


def _cells(campaign: Campaign, picture: Picture, captions: dict[str, str], title: str, width: int, grow_px: int = 0) -> str:
    mask = thicken((picture.mask > 0).astype(np.uint8), grow_px, empty=0)
    cells = panel_cells(campaign.run.palette, picture.image, picture.prediction, mask, picture.answer, width)
    figures = ''.join(
        f'<figure><img alt="{escape(captions[name], quote=True)}: {escape(title, quote=True)}" width="{cell.shape[1]}" '
        f'height="{cell.shape[0]}" src="{data_url(cell)}">'
        f'<figcaption>{escape(captions[name])}</figcaption></figure>'
        for name, cell in ((name, cells[name]) for name in captions if name in cells)
    )
    return f'<div class="cells">{figures}</div>'


def _worst(campaign: Campaign, outlook: Outlook, of: str) -> str:
    if not outlook.worst:
        return ''
    captions = dict(image='image', prediction='prediction', answer='answers', mask='answers it contradicts')

    def row(verdict: Verdict) -> str:
        number = f' <span>round {verdict.round}</span>' if verdict.round else ''
        title = (
            f'<b>{percent(verdict.share)} wrong</b> <span>{verdict.wrong:,} of {verdict.answered:,} answered pixels</span>'
            f'{number} <span>{escape(verdict.key)}</span>'
        )
        assert verdict.picture is not None
        cells = _cells(campaign, verdict.picture, captions, verdict.key, 240)
        return f'<div class="panel"><div class="panel-title">{title}</div>{cells}</div>'

    if outlook.predicted:
        note = (
            'Images where the final model contradicts the largest share of the answers it was trained on: too few labels of '
            'something rare, or a wrong answer. These are training images, and only answered pixels are judged.'
        )
    else:
        note = (
            'Images where the model that asked was most often wrong about what it asked, judged by the answers. Only the '
            'images whose prediction was stored with the request are compared, a few a round; --predict judges all of them '
            'with the final model.'
        )
    return section(f'Worst images{of}', ''.join(map(row, outlook.worst)), note)


def _next(campaign: Campaign, upcoming: NextQuestions | None, problem: str | None, of: str) -> str:
    if upcoming is None:
        title = f'What it would ask next{of}'
        lead = 'The final models of this run could not be used.'
        return section(title, f'<p class="lead">{escape(problem)}</p>', lead) if problem else ''
    if not upcoming.clicks:
        nothing = '<p class="lead">Nothing: the selector offers no pixel that is not answered yet.</p>'
        return section(f'What it would ask next{of}', nothing)
    items = [
        ('next clicks', f'{upcoming.clicks:,}', f'on {NOUNS.get(upcoming.kind, upcoming.kind)}'),
        ('images concerned', f'{upcoming.images:,}', f'of {campaign.images:,}'),
        ('pixels', human_count(upcoming.pixels), f'{upcoming.pixels / upcoming.clicks:,.1f} a click'),
        ('time', human_seconds(upcoming.seconds), 'by the cost model of the run'),
    ]
    rows = _mix(campaign, campaign.label, 'so far', campaign.classes)
    rows += _mix(campaign, campaign.label, 'next', upcoming.classes)
    captions = dict(image='image', prediction='prediction', mask='asked')
    crops = ''.join(
        f'<div class="panel"><div class="panel-title"><b>{clicks:,} clicks</b> <span>{escape(key)}</span></div>'
        f'{_cells(campaign, picture, captions, key, 300, 1 + picture.mask.shape[1] // 150)}</div>'
        for key, clicks, picture in upcoming.pictures
    )
    note = (
        'The selector of the run with its final models, over all target training images, cut to this budget. Nothing of it '
        'is recorded. Classes are those that the final model predicts where it would ask; the answers may say otherwise.'
    )
    body = f'{tiles(items)}{_mix_figure(rows, campaign)}<h3>Where it would ask most</h3><div class="gallery">{crops}</div>'
    return section(f'What the next {upcoming.clicks:,} clicks would ask{of}', body, note)
