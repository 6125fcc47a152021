# SPDX-License-Identifier: Apache-2.0
"""Features in two dimensions as a picture: a colour a class, a marker a domain, one panel a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from udatools.utils.atomic import write_bytes_atomic

__all__ = ['DOMAINS', 'EmbeddingPanel', 'write_embedding_plot']

#: Name, marker and edge of the domains 0 and 1.
DOMAINS = (('source', 'o'), ('target', '^'))
_DOMAIN_COLOURS = ('#1f62c9', '#c2570c')


@dataclass
class EmbeddingPanel:
    """One network.

    Attributes:
        title (str): above the panel; may have several lines.
        points (ndarray): float, (N, 2).
        label (ndarray): integer, (N,), train ids; None where points are images.
        domain (ndarray): integer, (N,), 0 = source, 1 = target.
    """

    title: str
    points: npt.NDArray
    label: npt.NDArray | None
    domain: npt.NDArray


def write_embedding_plot(path: Path, panels: Sequence[EmbeddingPanel], classes: Sequence[str] = (),
                         palette: Sequence[Sequence[int]] = ()) -> Path:
    """Draw panels side by side with one legend.

    Args:
        path (Path): ``.png``, ``.svg`` or ``.pdf``; written atomically.
        panels (Sequence[EmbeddingPanel]): one or more.
        classes (Sequence[str]): names of the train ids, where points are pixels.
        palette (Sequence[Sequence[int]]): their RGB colours.

    Raises:
        ValueError: without a panel, or for another ending of ``path``.
    """
    # The object interface of matplotlib: no global figure, no display, no change to the caller's settings.
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    if not panels:
        raise ValueError('there is nothing to draw; give at least one panel')
    kind = path.suffix.lower().lstrip('.')
    if kind not in ('png', 'svg', 'pdf'):
        raise ValueError(f'cannot draw {path}: got the ending {path.suffix!r}; expected .png, .svg or .pdf')
    by_class = panels[0].label is not None
    colours = [f'#{red:02x}{green:02x}{blue:02x}' for red, green, blue in palette]
    shown = sorted({int(value) for panel in panels if panel.label is not None for value in np.unique(panel.label)})
    figure = Figure(figsize=(5.0 * len(panels) + (1.7 if by_class else 1.2), 5.2), dpi=130, layout='constrained')
    grid = figure.subplots(1, len(panels), squeeze=False)
    for axes, panel in zip(grid[0], panels):
        axes.set_title(panel.title, fontsize=10, loc='left')
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color('#c9c8c2')
        # All in one order that mixes the domains: what is drawn last would hide the rest.
        order = np.random.default_rng(0).permutation(len(panel.points))
        for domain, (_, mark) in enumerate(DOMAINS):
            chosen = order[panel.domain[order] == domain]
            paint = [colours[int(i)] for i in panel.label[chosen]] if panel.label is not None else _DOMAIN_COLOURS[domain]
            axes.scatter(panel.points[chosen, 0], panel.points[chosen, 1], c=paint, marker=mark, s=30 if domain else 20,
                         alpha=0.85, linewidths=0.5 if domain else 0.25, edgecolors='#1c1c1a' if domain else 'white')
    handles = []
    for domain, (name, mark) in enumerate(DOMAINS):
        face = '#bdbcb5' if by_class else _DOMAIN_COLOURS[domain]
        handles.append(Line2D([], [], linestyle='', marker=mark, markersize=7, color=face, label=name,
                              markeredgecolor='#1c1c1a' if domain else 'white'))
    handles += [Line2D([], [], linestyle='', marker='s', markersize=7, color=colours[i], label=classes[i]) for i in shown]
    figure.legend(handles=handles, loc='outside right upper', frameon=False, fontsize=9)
    picture = BytesIO()
    figure.savefig(picture, format=kind, metadata={'Software': None} if kind == 'png' else None)
    write_bytes_atomic(path, picture.getvalue())
    return path
