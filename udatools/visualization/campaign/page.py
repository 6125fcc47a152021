# SPDX-License-Identifier: Apache-2.0
"""The page of a campaign: what was asked, what it cost, what it brought, and what is left to ask.

One self-contained HTML file, as the report of a run: style, charts and pictures are in it, there is no script.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from udatools.utils.atomic import write_text_atomic
from udatools.visualization.campaign.data import Campaign, load_campaigns
from udatools.visualization.campaign.outlook import Outlook, look_ahead, look_back
from udatools.visualization.campaign.sections import anchor, campaign_parts, comparison_parts, headline
from udatools.visualization.page import document, several_runs_style

__all__ = ['write_campaign']


def write_campaign(
    work_dirs: Sequence[str | Path],
    out_dir: str | Path | None = None,
    *,
    image_root: str | Path | None = None,
    clicks: int = 1000,
    predict: bool = False,
) -> tuple[Path, dict[str, str]]:
    """Write ``index.html``; replaces an earlier one.

    Args:
        work_dirs (Sequence[str | Path]): finished runs; those without a ledger (source only, supervised) are baselines.
        out_dir (str | Path | None): folder of the page; None is ``campaign`` in the first run that has a ledger.
        image_root (str | Path | None): folder that the keys of the target images are relative to, if not where the
            runs' configs say.
        clicks (int): how many further clicks to plan with each run's final models; 0 leaves that out.
        predict (bool): judge the images by the final model even without ``clicks``.

    Returns:
        tuple: path of the page, and by label of the run why its models could not be used, if they could not.

    Raises:
        FileNotFoundError: a run has no ``results.json``, or none has a ledger.
        ValueError: a file of a run is damaged, or ``clicks`` is negative.
    """
    if clicks < 0:
        raise ValueError(f'clicks is {clicks}; expected a number >= 0')
    campaigns, baselines = load_campaigns(work_dirs, image_root)
    outlooks: dict[str, Outlook] = {}
    problems: dict[str, str] = {}
    for campaign in campaigns:
        if clicks or predict:
            try:
                outlooks[campaign.label] = look_ahead(campaign, clicks)
                continue
            except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
                problems[campaign.label] = f'{type(error).__name__}: {error}'
        outlooks[campaign.label] = look_back(campaign)
    parts = [headline(campaigns, baselines), _contents(campaigns), *comparison_parts(campaigns, baselines)]
    for campaign in campaigns:
        parts += campaign_parts(campaign, outlooks[campaign.label], problems.get(campaign.label),
                                named=len(campaigns) > 1)
    title = 'Labelling campaign' if len(campaigns) == 1 else 'Labelling campaigns'
    names = ' · '.join(campaign.label for campaign in campaigns)
    page = document(f'{title}: {names}', title, f'{names} · {_size(campaigns)}', [part for part in parts if part],
                    several_runs_style())
    folder = campaigns[0].run.work_dir / 'campaign' if out_dir is None else Path(out_dir)
    path = folder / 'index.html'
    write_text_atomic(path, page)
    return path, problems


def _size(campaigns: Sequence[Campaign]) -> str:
    images = max(campaign.images for campaign in campaigns)
    rounds = max((len(campaign.rounds) for campaign in campaigns), default=0)
    return f'{images:,} target images, {rounds} round{"s" if rounds != 1 else ""}'


def _contents(campaigns: Sequence[Campaign]) -> str:
    """Links to the runs, where there are several."""
    if len(campaigns) < 2:
        return ''
    links = ''.join(f'<a href="#{escape(anchor(campaign), quote=True)}">{escape(campaign.label)}</a>' for campaign in campaigns)
    return f'<nav aria-label="runs">The runs one by one: {links}</nav>'
