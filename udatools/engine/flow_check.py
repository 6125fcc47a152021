# SPDX-License-Identifier: Apache-2.0
"""How good the flow files of a data set are: what warping leaves, and end-point errors where exact flow is at hand."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object
from torch import Tensor

from udatools.datasets.flow_io import SUFFIXES, flow_path, read_flow
from udatools.evaluation.flow import EndPointError, PhotometricError
from udatools.ops.warp import warp
from udatools.utils.progress import Progress

from .flow import FlowPair, load_image
from .resumable import share


class _Scores:
    """Sums of one offset; the baseline is the flow 0 on the same pixels."""

    def __init__(self) -> None:
        self.pairs = 0
        self.photometric, self.still = PhotometricError(), PhotometricError()
        self.end_point, self.still_end_point = EndPointError(), EndPointError()

    def add(self, image: Tensor, reference: Tensor, flow: Tensor, known: Tensor,
            exact: tuple[Tensor, Tensor] | None) -> None:
        """One pair: images float (1, 3, H, W) in [0, 1], flow (1, 2, H, W), masks (1, H, W)."""
        zero = torch.zeros_like(flow)
        self.pairs += 1
        self.photometric.add(image, reference, flow, known)
        self.still.add(image, reference, zero, known & warp(known[:, None], flow, 'nearest')[1])
        if exact is not None:
            valid = known & exact[1]
            self.end_point.add(flow, exact[0], valid)
            self.still_end_point.add(zero, exact[0], valid)

    def merge(self, other: _Scores) -> _Scores:
        self.pairs += other.pairs
        self.photometric.merge(other.photometric)
        self.still.merge(other.still)
        self.end_point.merge(other.end_point)
        self.still_end_point.merge(other.still_end_point)
        return self

    def summary(self, exact: bool) -> dict[str, Any]:
        scores: dict[str, Any] = dict(photometric=self.photometric.summary())
        still: dict[str, Any] = dict(photometric=self.still.summary())
        if exact:
            scores['end_point_error'] = self.end_point.summary()
            still['end_point_error'] = self.still_end_point.summary()
        return dict(pairs=self.pairs, **scores, zero_flow=still)


def check_flow(pairs: Sequence[FlowPair], root: str | os.PathLike[str], *, reference: str | os.PathLike[str] | None = None,
               sample: int | None = None, suffix: str | None = None) -> dict[str, Any]:
    """Reads the files of the pairs and says how good the flow is; collective, writes nothing.

    Args:
        pairs (Sequence[FlowPair]): the same on every rank.
        root (str | PathLike): folder of the flow.
        reference (str | PathLike, optional): folder of exact flow in the same layout; end-point errors are taken where both know
            the flow. Pairs without exact flow go without.
        sample (int, optional): this many pairs, evenly spread, in place of all.
        suffix (str, optional): of the files in ``root``; by default each may have another one.

    Returns:
        dict: ``offsets``, a dict for each offset (``'-1'``) with ``pairs``, ``photometric``, ``end_point_error`` (with
        ``reference``) and the same of ``zero_flow``; ``problems``, a list of texts about files that are missing or damaged.

    Raises:
        FileNotFoundError: when ``reference`` holds the flow of none of the pairs.
    """
    if sample is not None:
        if sample < 1:
            raise ValueError(f'sample is {sample}; expected 1 or more pairs')
        pairs = [pairs[i] for i in sorted({round(i) for i in np.linspace(0, len(pairs) - 1, min(sample, len(pairs)))})]
    own = share(pairs)
    load = lru_cache(maxsize=16)(load_image)
    scores: dict[int, _Scores] = {}
    problems, exact_pairs = [], 0
    with Progress('checked', len(own), 'pairs') as progress:
        for done, pair in enumerate(own, 1):
            try:
                image, other = (load(path)[None].float() / 255 for path in (pair.image, pair.reference))
                flow, known = _read(_find(root, pair, suffix), tuple(image.shape[2:]))
                exact = None
                if reference is not None and _find(reference, pair).exists():
                    exact, exact_pairs = _read(_find(reference, pair), tuple(image.shape[2:])), exact_pairs + 1
                scores.setdefault(pair.offset, _Scores()).add(image, other, flow, known, exact)
            except (OSError, ValueError) as error:
                problems.append(str(error))
            progress.update(done)
    gathered = all_gather_object((scores, problems, exact_pairs))
    if reference is not None and pairs and not sum(part[2] for part in gathered):
        raise FileNotFoundError(f'{reference} holds the flow of none of {len(pairs)} pairs; expected files such as '
                                f'{flow_path(reference, pairs[0].key, pairs[0].offset)}')
    total: dict[int, _Scores] = {}
    for part, _, _ in gathered:
        for offset, sums in part.items():
            total.setdefault(offset, _Scores()).merge(sums)
    return dict(offsets={f'{offset:+d}': total[offset].summary(reference is not None) for offset in sorted(total)},
                problems=[problem for _, found, _ in gathered for problem in found])


def _find(root: str | os.PathLike[str], pair: FlowPair, suffix: str | None = None) -> Path:
    """The file of a pair, whatever its suffix if none is given; then the PNG if there is none."""
    candidates = [flow_path(root, pair.key, pair.offset, one) for one in ([suffix] if suffix else SUFFIXES)]
    return next((path for path in candidates if path.exists()), candidates[0])


def _read(path: Path, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Flow (1, 2, H, W) and mask (1, H, W)."""
    flow, known = read_flow(path)
    if known.shape != shape:
        raise ValueError(f'{path} is {known.shape[1]}x{known.shape[0]}, but the frame {shape[1]}x{shape[0]} (width x height); '
                         'delete it and compute it again')
    return torch.from_numpy(flow)[None], torch.from_numpy(known)[None]


def format_check(report: Mapping[str, Any]) -> str:
    """The table of a report of :func:`check_flow`; in brackets what the flow 0 has on the same pixels."""
    lines = [f'{"offset":>6}  {"pairs":>6}  {"photometric L1":>17}  {"visible":>17}  {"end-point error":>19}  {"above 3 px":>17}']
    for offset, scores in report['offsets'].items():
        still = scores['zero_flow']
        cells = [f'{scores["photometric"]["mean"]:.4f} ({still["photometric"]["mean"]:.4f})',
                 f'{scores["photometric"]["visible_share"]:.1%} ({still["photometric"]["visible_share"]:.1%})']
        if 'end_point_error' in scores:
            exact, still_exact = scores['end_point_error'], still['end_point_error']
            cells += [f'{exact["mean"]:.3f} ({still_exact["mean"]:.3f}) px',
                      f'{exact["outlier_share"]:.1%} ({still_exact["outlier_share"]:.1%})']
        else:
            cells += ['-', '-']
        lines.append(f'{offset:>6}  {scores["pairs"]:>6}  {cells[0]:>17}  {cells[1]:>17}  {cells[2]:>19}  {cells[3]:>17}')
    return '\n'.join([*lines, 'in brackets: no flow at all (0), on the same pixels'])
