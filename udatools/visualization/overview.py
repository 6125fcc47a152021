# SPDX-License-Identifier: Apache-2.0
"""The learning curve as a PNG, for places that show no HTML (a README, a paper's draft, a chat)."""

import math
from pathlib import Path

from udatools.visualization.charts import spread
from udatools.visualization.run_data import RunData
from udatools.visualization.tables import common_suffix

__all__ = ['write_overview']


def write_overview(run: RunData, path: Path) -> Path | None:
    """Draw mIoU against the labelled share, or one bar a stage when nothing was labelled.

    Args:
        run (RunData): from ``load_run``.
        path (Path): the PNG to write.

    Returns:
        Path | None: ``path``; None when no stage has been evaluated.
    """
    # The object interface of matplotlib: no global figure, no display, no change to the caller's settings.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    stages = [stage for stage in run.rounds if math.isfinite(stage.miou)]
    if not stages:
        return None
    suffix = common_suffix([run.name, *[baseline.name for baseline in run.baselines]])
    figure = Figure(figsize=(7.2, 3.8), dpi=150, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(axis='y', color='#e3e2dc', linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylabel('mIoU on the target')
    baselines = [baseline for baseline in run.baselines if math.isfinite(baseline.miou)]
    for baseline in baselines:
        axes.axhline(baseline.miou, color='#85837c', linestyle=(0, (5, 4)), linewidth=1.2)
    if any(stage.portion for stage in stages):
        axes.plot(
            [100 * stage.portion for stage in stages],
            [stage.miou for stage in stages],
            color='#1f62c9',
            marker='o',
            linewidth=2.2,
        )
        for stage in stages:
            axes.annotate(
                f'{stage.miou:.1f}',
                (100 * stage.portion, stage.miou),
                xytext=(0, 8),
                textcoords='offset points',
                ha='center',
                fontsize=9,
                color='#1c1c1a',
            )
        axes.set_xlabel('labelled share of target pixels, %')
        axes.margins(y=0.15)
    else:
        axes.bar([stage.name for stage in run.stages], [stage.miou for stage in run.stages], color='#1f62c9', width=0.5)
    low, high = axes.get_ylim()
    places = spread([baseline.miou for baseline in baselines], 0.06 * (high - low), low, high)
    for baseline, place in zip(baselines, places):
        axes.annotate(
            f'{baseline.name.removesuffix(suffix).replace("_", " ")} {baseline.miou:.1f}',
            (1.01, place),
            xycoords=('axes fraction', 'data'),
            va='center',
            fontsize=9,
            color='#55544f',
        )
    axes.set_ylim(low, high)
    axes.set_title(run.name, loc='left', fontsize=11)
    figure.savefig(path, format='png', metadata={'Software': None})
    return path
