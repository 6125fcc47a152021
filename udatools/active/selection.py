# SPDX-License-Identifier: Apache-2.0
"""From probabilities to a complete request on disk, sharded over processes and safe to kill anywhere.

Candidates of an image are kept beside the request until it is complete: a rerun with the same inputs reads them.
"""
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import print_log

from udatools.ops.cuts import NUM_SCORE_BINS, Cut, cost_at_cut, find_cut, score_histogram, share_rest, units_within
from udatools.ops.digests import json_digest
from udatools.utils.atomic import write_bytes_atomic, write_png_atomic

from .collectives import on_all, on_rank0
from .image_questions import CLASS_POINTS, IMAGE_KINDS
from .ledger import LabelLedger
from .points_table import Row, point_rows, write_points
from .request import MAX_REGION, RequestItem, class_table, number_regions, region_digest, write_mask, write_request
from .round_plan import Predict, RoundPlan, TargetSet
from .selectors import Candidates, Selector
from .units import Units, units_of

#: What earlier rounds spent on each image, in units of the budget; images without an answer may be left out.
Spent = Mapping[str, float]


def spent_before(plan: RoundPlan, ledger: LabelLedger) -> dict[str, float]:
    """What earlier rounds spent on each image, in units of the budget (pixels without one)."""
    return ledger.spent_by_image(plan.budget.unit if plan.budget else 'pixels', before_round=plan.round)


class Scored(NamedTuple):
    """What a rank knows after it has scored its images.

    Attributes:
        histogram (np.ndarray): int64, (31744,), planned cost of its units per float16 score.
        pixels (int): native pixels of its images.
        limit (int): of its images together, in units, where the budget is per image.
    """
    histogram: np.ndarray
    pixels: int
    limit: int


def select(plan: RoundPlan, target: TargetSet, predict: Predict, selector: Selector, input_hash: str, spent: Spent,
           ledger_path: str | Path, request_dir: Path) -> None:
    """Write the request of a round; collective. See :func:`ask_round` for the arguments.

    Raises:
        ValueError: if the budget does not count what the selector asks for.
    """
    if plan.budget:
        plan.budget.check_kind(selector.kind)
    mine, num_classes = range(get_rank(), len(target.keys), get_world_size()), len(target.classes)

    def score() -> Scored:
        histogram: np.ndarray = np.zeros(NUM_SCORE_BINS, np.int64)
        pixels = limit = 0
        with LabelLedger(ledger_path, read_only=True) as ledger:
            for step, i in enumerate(mine):
                file = request_dir / 'candidates' / f'{target.keys[i]}.npz'
                stored = _read_candidates(file, input_hash)
                if stored is None:
                    stored = _score_image(plan, i, target.keys[i], predict, selector, ledger)
                    _write_candidates(file, input_hash, *stored)
                found, size = stored
                units = units_of(found, size, selector, plan.budget, num_classes)
                histogram += score_histogram(units.score, units.cost)
                pixels += size[0] * size[1]
                limit += plan.budget.limit(size[0] * size[1], plan.num_rounds) if plan.budget else 0
                if step % max(1, len(mine) // 10) == 0 or step + 1 == len(mine):
                    print_log(f'selection: {min(i + get_world_size(), len(target.keys))}/{len(target.keys)} images',
                              logger='current')
        return Scored(histogram, pixels, limit)

    scored = on_all(score)
    total_pixels = sum(part.pixels for part in scored)
    per_image = plan.budget is not None and plan.budget.per == 'image'
    allowance = None if plan.budget is None or per_image else plan.budget.allowance(
        total_pixels, sum(spent.values()), plan.round, plan.num_rounds)
    cut = find_cut(np.sum([part.histogram for part in scored], axis=0), allowance)

    def own_units(i: int) -> Units:
        return units_of(*_own(request_dir, target.keys[i], input_hash), selector, plan.budget, num_classes)

    def at_cut() -> dict[str, int]:
        return {target.keys[i]: cost_at_cut(units.score, units.cost, cut) for i in mine for units in (own_units(i), )}

    tied = {key: cost for part in on_all(at_cut) for key, cost in part.items()} if cut.rest else {}
    in_key_order = sorted(tied)
    rests = dict(zip(in_key_order, share_rest(np.array([tied[key] for key in in_key_order], np.int64), cut.rest)))

    def write_masks() -> dict[int, tuple[RequestItem, int, list[Row]]]:
        written = {}
        for i in mine:
            key, units = target.keys[i], own_units(i)
            here = _cut_image(plan, units, spent.get(key, 0)) if per_image else Cut(cut.pattern, int(rests.get(key, 0)))
            if selector.kind in IMAGE_KINDS:
                written[i] = _write_question(plan, target, i, selector, units, here, request_dir, ledger_path)
            else:
                written[i] = _write_item(plan, target, i, selector, units, here, request_dir)
        return written

    rows = {i: row for part in on_all(write_masks) for i, row in part.items()}
    items = [rows[i][0] for i in range(len(target.keys))]
    _write_panels(plan, target, predict, items, mine, request_dir)
    if plan.budget is None:
        limit = None
    else:
        limit = sum(part.limit for part in scored) if per_image else plan.budget.limit(total_pixels, plan.num_rounds)
    points = [row for i in range(len(target.keys)) for row in rows[i][2]] if selector.kind == 'points' else None
    on_rank0(lambda: _write_package(plan, target, selector, input_hash, items, points, request_dir, budget=_budget_of(
        plan, limit, sum(item.asked for item in items), sum(cost for _, cost, _ in rows.values()), sum(spent.values()))))


def _cut_image(plan: RoundPlan, units: Units, spent: float) -> Cut:
    """The cut of one image by its own budget."""
    assert plan.budget is not None
    allowance = plan.budget.allowance(units.size[0] * units.size[1], spent, plan.round, plan.num_rounds)
    return find_cut(score_histogram(units.score, units.cost), allowance)


def _budget_of(plan: RoundPlan, limit: int | None, asked: int, cost: int, spent: float) -> dict[str, Any]:
    """The ``budget`` of a request: numbers in units, seconds to the millisecond; ``asked`` is in pixels."""
    unit, per, steps = (plan.budget.unit, plan.budget.per, plan.budget.steps) if plan.budget else ('pixels', 'set', 1)
    planned: float = cost if steps == 1 else cost / steps
    spent = int(spent) if steps == 1 else round(spent, 3)
    left = None if limit is None else limit - spent - planned
    return dict(unit=unit, per=per, limit=limit, asked=asked, planned=planned, spent=spent,
                left=left if left is None or steps == 1 else round(left, 3))


def _write_panels(plan: RoundPlan, target: TargetSet, predict: Predict, items: Sequence[RequestItem], mine: range,
                  request_dir: Path) -> None:
    """Keep the prediction of the images that are asked most, for the report; collective."""
    shown = sorted((i for i, item in enumerate(items) if item.asked), key=lambda i: (-items[i].asked, items[i].key))

    def write() -> None:
        for i in shown[:plan.panels]:
            if i in mine:
                label = predict(i, ('prob', ))['prob'].argmax(dim=0).cpu().numpy().astype(np.uint8)
                write_png_atomic(request_dir / 'predictions' / f'{target.keys[i]}.png', label)

    on_all(write)


def _write_package(plan: RoundPlan, target: TargetSet, selector: Selector, input_hash: str, items: Sequence[RequestItem],
                   points: list[Row] | None, request_dir: Path, budget: dict[str, Any]) -> None:
    pixels, asked = sum(item.height * item.width for item in items), budget['asked']
    header = dict(
        input_hash=input_hash, run=plan.run, round=plan.round, num_rounds=plan.num_rounds, kind=selector.kind,
        selector=selector.settings(), selector_hash=json_digest(selector.settings()), weights=dict(plan.weights),
        seed=plan.seed, dataset_fingerprint=target.fingerprint, classes=class_table(target.classes, target.palette),
        ignore_index=target.ignore_index, images=len(items), total_pixels=pixels,
        candidates=sum(item.candidates for item in items), budget=budget)
    if points is not None:
        write_points(request_dir, points)
    write_request(request_dir, header, items)
    planned = '' if budget['unit'] == 'pixels' else f', planned as {budget["planned"]} {budget["unit"]}'
    if selector.kind in IMAGE_KINDS:
        what = f'{selector.kind} of {sum(item.asked > 0 for item in items)} of {len(items)} images asked'
    else:
        what = f'{asked} of {pixels} pixels asked ({asked / pixels:.2%})'
    print_log(f'round {plan.round}: {what}{planned}, in {request_dir}', logger='current')


def input_hash_of(plan: RoundPlan, target: TargetSet, selector: Selector, ledger_digest: str) -> str:
    """Hash of all that a selection depends on; the same before and after an upgrade that only adds options."""
    return json_digest(
        dict(round=plan.round, num_rounds=plan.num_rounds, seed=plan.seed, weights=dict(plan.weights),
             run='',  # decides nothing; hashes of rounds that are paid for hold it
             budget=None if plan.budget is None else plan.budget.settings(), selector=selector.settings(),
             kind=selector.kind, dataset=target.fingerprint, classes=list(target.classes),
             inference=plan.inference, ledger=ledger_digest))


def _score_image(plan: RoundPlan, i: int, key: str, predict: Predict, selector: Selector,
                 ledger: LabelLedger) -> tuple[Candidates, tuple[int, int]]:
    """Candidates of one image without the pixels that earlier rounds answered."""
    outputs = dict(predict(i, tuple(name for name in selector.inputs if name != 'excluded')))
    height, width = next(iter(outputs.values())).shape[-2:]
    answered = ledger.answered_mask(key, before_round=plan.round)
    if answered is not None and answered.shape != (height, width):
        raise ValueError(f'{key!r} is {height}x{width} now, its earlier answers are {answered.shape}; the images '
                         'changed since they were labelled: use a new work directory')
    open_ = np.ones((height, width), bool) if answered is None else ~answered
    if selector.kind in IMAGE_KINDS:  # asked once; which pixels are answered does not matter
        open_[:] = ledger.tags(key, before_round=plan.round) is None
    if 'excluded' in selector.inputs:
        outputs['excluded'] = torch.from_numpy(~open_)
    seed = [plan.seed, plan.round, *hashlib.sha256(key.encode('utf-8')).digest()]
    found = selector.candidates(outputs, key, np.random.default_rng(seed))
    return found.take(open_.ravel()[found.flat_index]), (int(height), int(width))


def _write_candidates(file: Path, input_hash: str, found: Candidates, size: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = dict(flat_index=found.flat_index.astype(np.int32), score=found.score, size=np.array(size),
                                  input_hash=np.array(input_hash))
    if found.region is not None:
        arrays['region'] = found.region.astype(np.int32)
    np.savez(buffer, **arrays)
    write_bytes_atomic(file, buffer.getvalue())


def _read_candidates(file: Path, input_hash: str) -> tuple[Candidates, tuple[int, int]] | None:
    """Candidates of an earlier, killed run if they come from the same inputs."""
    if not file.is_file():
        return None
    with np.load(file, allow_pickle=False) as data:
        if str(data['input_hash']) != input_hash:
            return None
        found = Candidates(data['flat_index'], data['score'], data['region'] if 'region' in data else None)
        return found, (int(data['size'][0]), int(data['size'][1]))


def _own(request_dir: Path, key: str, input_hash: str) -> tuple[Candidates, tuple[int, int]]:
    stored = _read_candidates(request_dir / 'candidates' / f'{key}.npz', input_hash)
    if stored is None:
        raise RuntimeError(f'candidates of {key!r} vanished from {request_dir}; run again')
    return stored


def _write_item(plan: RoundPlan, target: TargetSet, i: int, selector: Selector, units: Units, cut: Cut,
                request_dir: Path) -> tuple[RequestItem, int, list[Row]]:
    """Write the mask of one image; returns its item, its planned cost and its points."""
    key, image = target.keys[i], Path(target.image_paths[i])
    taken = units_within(units.score, units.cost, cut, cut.rest)
    chosen = taken[units.member]
    asked: np.ndarray = np.zeros(units.size, bool)
    asked.ravel()[units.flat_index[chosen]] = True
    region = number_regions(asked, points=selector.kind == 'points', units=units.member[chosen] if units.regions else None)
    count = int(taken.sum()) if units.regions or selector.kind == 'points' else int(region.max())
    if selector.kind == 'regions' and count > MAX_REGION:
        raise ValueError(f'{count} regions are asked in {key!r}; their ids end at {MAX_REGION}: choose larger regions or a '
                         'smaller budget')
    item = _item(key, image, units, region if count else None, int(chosen.sum()), count, request_dir)
    points = point_rows(item.path, item.width, plan.round, units.flat_index[chosen], units.score[units.member[chosen]]) \
        if selector.kind == 'points' else []
    return item, int(units.cost[taken].sum()), points


def _write_question(plan: RoundPlan, target: TargetSet, i: int, selector: Selector, units: Units, cut: Cut, request_dir: Path,
                    ledger_path: str | Path) -> tuple[RequestItem, int, list[Row]]:
    """The same for a question about the image: points may lie wherever no earlier answer does, tags lie nowhere."""
    key, taken = target.keys[i], units_within(units.score, units.cost, cut, cut.rest)
    region = None
    if taken.any() and selector.kind == CLASS_POINTS:
        with LabelLedger(ledger_path, read_only=True) as ledger:
            answered = ledger.answered_mask(key, before_round=plan.round)
        region = np.ones(units.size, np.uint16) if answered is None else (~answered).astype(np.uint16)
    asked = int(taken.sum())
    item = _item(key, Path(target.image_paths[i]), units, region, asked * len(target.classes), asked, request_dir)
    return item, int(units.cost[taken].sum()), []


def _item(key: str, image: Path, units: Units, region: np.ndarray | None, asked: int, components: int,
          request_dir: Path) -> RequestItem:
    mask, digest = None, ''
    if region is not None:
        mask, digest = write_mask(request_dir, key, region), region_digest(region)
    else:  # of a selection with other inputs
        (request_dir / 'masks' / f'{key}.png').unlink(missing_ok=True)
    sha1 = hashlib.sha1(image.read_bytes(), usedforsecurity=False).hexdigest() if image.is_file() else ''
    return RequestItem(key=key, path=key + image.suffix, sha1=sha1, height=units.size[0], width=units.size[1],
                       candidates=units.flat_index.size, asked=asked, components=components, mask=mask, mask_sha256=digest)
