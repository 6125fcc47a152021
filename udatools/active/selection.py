# SPDX-License-Identifier: Apache-2.0
"""From probabilities to a complete request on disk, sharded over processes and safe to kill anywhere.

Candidates of an image are kept beside the request until it is complete: a rerun with the same inputs reads them.
"""
import hashlib
import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import print_log
from torch import Tensor

from udatools.ops.digests import json_digest
from udatools.ops.selection import NUM_SCORE_BINS, Cut, apply_cut, count_ties, find_cut, score_histogram, share_ties
from udatools.utils.atomic import write_bytes_atomic, write_png_atomic

from .collectives import on_all, on_rank0
from .ledger import LabelLedger
from .request import RequestItem, class_table, number_regions, region_digest, write_mask, write_request
from .round_plan import Predict, RoundPlan, TargetSet
from .selectors import Candidates, Selector


def select(plan: RoundPlan, target: TargetSet, predict: Predict, selector: Selector, input_hash: str, spent: int,
           ledger_path: str | Path, request_dir: Path) -> None:
    """Write the request of a round; collective. See :func:`ask_round` for the arguments."""
    mine = range(get_rank(), len(target.keys), get_world_size())

    def score() -> tuple[np.ndarray, int]:
        histogram: np.ndarray = np.zeros(NUM_SCORE_BINS, np.int64)
        pixels = 0
        with LabelLedger(ledger_path, read_only=True) as ledger:
            for step, i in enumerate(mine):
                file = request_dir / 'candidates' / f'{target.keys[i]}.npz'
                stored = _read_candidates(file, input_hash)
                if stored is None:
                    stored = _score_image(plan, target.keys[i], predict(i, selector.inputs), selector, ledger)
                    _write_candidates(file, input_hash, *stored)
                found, (height, width) = stored
                histogram += score_histogram(found.score)
                pixels += height * width
                if step % max(1, len(mine) // 10) == 0 or step + 1 == len(mine):
                    print_log(f'selection: {min(i + get_world_size(), len(target.keys))}/{len(target.keys)} images',
                              logger='current')
        return histogram, pixels

    scored = on_all(score)
    histogram, total_pixels = np.sum([h for h, _ in scored], axis=0), sum(p for _, p in scored)
    allowance = None if plan.budget is None else plan.budget.allowance(total_pixels, spent, plan.round,
                                                                       plan.num_rounds)
    cut = find_cut(histogram, allowance)

    def ties() -> dict[str, int]:
        return {target.keys[i]: count_ties(_own(request_dir, target.keys[i], input_hash)[0].score, cut) for i in mine}

    ties_of = {key: count for part in on_all(ties) for key, count in part.items()}
    in_key_order = sorted(ties_of)
    quota = dict(zip(in_key_order, share_ties(np.array([ties_of[key] for key in in_key_order]), cut.ties)))

    def write_masks() -> dict[int, RequestItem]:
        return {i: _write_item(target, i, selector, input_hash, cut, int(quota[target.keys[i]]), request_dir)
                for i in mine}

    rows = {i: item for part in on_all(write_masks) for i, item in part.items()}
    items = [rows[i] for i in range(len(target.keys))]
    shown = sorted((i for i, item in rows.items() if item.asked), key=lambda i: (-items[i].asked, items[i].key))

    def write_panels() -> None:
        for i in shown[:plan.panels]:
            if i in mine:
                label = predict(i, ('prob', ))['prob'].argmax(dim=0).cpu().numpy().astype(np.uint8)
                write_png_atomic(request_dir / 'predictions' / f'{target.keys[i]}.png', label)

    on_all(write_panels)

    def write_package() -> None:
        limit = None if plan.budget is None else plan.budget.limit(total_pixels, plan.num_rounds)
        asked = sum(item.asked for item in items)
        header = dict(
            input_hash=input_hash, run=plan.run, round=plan.round, num_rounds=plan.num_rounds, kind=selector.kind,
            selector=selector.settings(), selector_hash=json_digest(selector.settings()), weights=dict(plan.weights),
            seed=plan.seed, dataset_fingerprint=target.fingerprint,
            classes=class_table(target.classes, target.palette), ignore_index=target.ignore_index,
            images=len(items), total_pixels=total_pixels, candidates=sum(item.candidates for item in items),
            budget=dict(unit=plan.budget.unit if plan.budget else 'pixels', limit=limit, asked=asked, spent=spent,
                        left=None if limit is None else limit - spent - asked))
        write_request(request_dir, header, items)
        print_log(f'round {plan.round}: {asked} of {total_pixels} pixels asked ({asked / total_pixels:.2%}), in '
                  f'{request_dir}', logger='current')

    on_rank0(write_package)


def input_hash_of(plan: RoundPlan, target: TargetSet, selector: Selector, ledger_digest: str) -> str:
    return json_digest(
        dict(round=plan.round, num_rounds=plan.num_rounds, seed=plan.seed, weights=dict(plan.weights), run=plan.run,
             budget=None if plan.budget is None else asdict(plan.budget), selector=selector.settings(),
             kind=selector.kind, dataset=target.fingerprint, classes=list(target.classes),
             inference=plan.inference, ledger=ledger_digest))


def _score_image(plan: RoundPlan, key: str, outputs: Mapping[str, Tensor], selector: Selector,
                 ledger: LabelLedger) -> tuple[Candidates, tuple[int, int]]:
    """Candidates of one image without the pixels that earlier rounds answered."""
    height, width = next(iter(outputs.values())).shape[-2:]
    seed = [plan.seed, plan.round, *hashlib.sha256(key.encode('utf-8')).digest()]
    found = selector.candidates(outputs, key, np.random.default_rng(seed))
    answered = ledger.answered_mask(key, before_round=plan.round)
    if answered is not None:
        if answered.shape != (height, width):
            raise ValueError(f'{key!r} is {height}x{width} now, its earlier answers are {answered.shape}; the images '
                             'changed since they were labelled: use a new work directory')
        open_ = ~answered.ravel()[found.flat_index]
        found = Candidates(found.flat_index[open_], found.score[open_])
    return found, (int(height), int(width))


def _write_candidates(file: Path, input_hash: str, found: Candidates, size: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, flat_index=found.flat_index.astype(np.int32), score=found.score, size=np.array(size),
             input_hash=np.array(input_hash))
    write_bytes_atomic(file, buffer.getvalue())


def _read_candidates(file: Path, input_hash: str) -> tuple[Candidates, tuple[int, int]] | None:
    """Candidates of an earlier, killed run if they come from the same inputs."""
    if not file.is_file():
        return None
    with np.load(file, allow_pickle=False) as data:
        if str(data['input_hash']) != input_hash:
            return None
        return Candidates(data['flat_index'], data['score']), (int(data['size'][0]), int(data['size'][1]))


def _own(request_dir: Path, key: str, input_hash: str) -> tuple[Candidates, tuple[int, int]]:
    stored = _read_candidates(request_dir / 'candidates' / f'{key}.npz', input_hash)
    if stored is None:
        raise RuntimeError(f'candidates of {key!r} vanished from {request_dir}; run again')
    return stored


def _write_item(target: TargetSet, i: int, selector: Selector, input_hash: str, cut: Cut, ties: int,
                request_dir: Path) -> RequestItem:
    key, image = target.keys[i], Path(target.image_paths[i])
    found, (height, width) = _own(request_dir, key, input_hash)
    chosen = apply_cut(found.flat_index, found.score, cut, ties)
    asked: np.ndarray = np.zeros(height * width, bool)
    asked[chosen] = True
    region = number_regions(asked.reshape(height, width), points=selector.kind == 'points')
    mask, digest = None, ''
    if chosen.size:
        mask, digest = write_mask(request_dir, key, region), region_digest(region)
    else:  # of a selection with other inputs
        (request_dir / 'masks' / f'{key}.png').unlink(missing_ok=True)
    sha1 = hashlib.sha1(image.read_bytes(), usedforsecurity=False).hexdigest() if image.is_file() else ''
    return RequestItem(key=key, path=key + image.suffix, sha1=sha1, height=height, width=width,
                       candidates=len(found.score), asked=len(chosen), components=int(region.max()), mask=mask,
                       mask_sha256=digest)
