# SPDX-License-Identifier: Apache-2.0
"""One round of active labelling, sharded over processes and safe to kill anywhere.

Selection ends with a complete request on disk; answering only ever adds to the ledger; label PNGs are rebuilt from the
ledger. A rerun continues at the first of these that is not complete and comes to the same request, ledger and labels:
what a selection depends on (weights, selector, data, answers of *earlier* rounds) does not change by the round itself.
"""
import hashlib
import io
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, barrier, get_rank, get_world_size
from mmengine.logging import print_log
from torch import Tensor

from udatools.ops.digests import json_digest
from udatools.ops.selection import NUM_SCORE_BINS, Cut, apply_cut, count_ties, find_cut, score_histogram, share_ties
from udatools.utils.atomic import write_bytes_atomic, write_png_atomic

from .annotators import Annotator
from .budget import Budget
from .ledger import LabelLedger, LedgerError
from .request import Request, RequestItem, class_table, number_regions, region_digest, withdraw_request, write_mask, write_request
from .selectors import Candidates, Selector

#: Answers per ledger transaction.
BATCH = 32


@dataclass(frozen=True)
class RoundResult:
    """Outcome of a round.

    Attributes:
        request (Request): what was asked.
        selected (bool): False if a complete request of an earlier run was reused.
        unanswered (int): images that still wait for an answer.
        spent (dict): totals of the whole campaign so far.
    """
    request: Request
    selected: bool
    unanswered: int
    spent: dict[str, Any]


@dataclass(frozen=True)
class TargetSet:
    """The target training images as the selection knows them.

    Attributes:
        keys (Sequence[str]): identities in data-set order.
        image_paths (Sequence[str]): image files, same order.
        classes (Sequence[str]): class names.
        palette (Sequence[Sequence[int]]): RGB colours of the classes.
        fingerprint (str): hash of what the set holds.
        ignore_index (int): value of unlabelled pixels in label PNGs.
    """
    keys: Sequence[str]
    image_paths: Sequence[str]
    classes: Sequence[str]
    palette: Sequence[Sequence[int]]
    fingerprint: str
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if len(self.keys) == 0:
            raise ValueError('the target set is empty: there is no image to ask about; check data_root and split')
        if len(set(self.keys)) != len(self.keys) or len(self.keys) != len(self.image_paths):
            raise ValueError(f'{len(self.keys)} keys ({len(set(self.keys))} distinct) for {len(self.image_paths)} '
                             'image files; expected one distinct key an image')


@dataclass(frozen=True)
class RoundPlan:
    """What identifies a round.

    Attributes:
        round (int): from 1.
        num_rounds (int): rounds of the campaign.
        run (str): name of the run.
        seed (int): seed of selectors that draw.
        weights (Mapping[str, str]): hashes of the weights that select, by model.
        budget (Budget | None): None asks for all candidates.
        inference (str): what else the probabilities depend on, such as the inference pipeline.
        panels (int): images whose prediction is kept for the report.
    """
    round: int = 1
    num_rounds: int = 1
    run: str = ''
    seed: int = 0
    weights: Mapping[str, str] = field(default_factory=dict)
    budget: Budget | None = None
    inference: str = ''
    panels: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.round <= self.num_rounds:
            raise ValueError(f'round {self.round} of {self.num_rounds}; expected 1 <= round <= num_rounds')


Predict = Callable[[int, Sequence[str]], Mapping[str, Tensor]]


def ask_round(plan: RoundPlan, target: TargetSet, predict: Predict, selector: Selector, annotator: Annotator, *,
              ledger_path: str | Path, request_dir: str | Path, label_dir: str | Path) -> RoundResult:
    """Select, ask, record, export. Collective: every rank calls it with the same arguments.

    Args:
        plan (RoundPlan): which round of what.
        target (TargetSet): the images.
        predict (Callable): ``predict(i, names)`` -> the named outputs of image i (``'prob'``, ``'prob1'``,
            ``'prob2'``), each float32, (C, H, W), native resolution.
        selector (Selector): scores pixels.
        annotator (Annotator): answers; used on rank 0 only.
        ledger_path (str | Path): the ledger.
        request_dir (str | Path): package of this round.
        label_dir (str | Path): label PNGs of all rounds.

    Returns:
        RoundResult: the same on every rank.
    """
    request_dir, rank = Path(request_dir), get_rank()

    def look_up() -> tuple[str, int, bool]:
        with LabelLedger(ledger_path) as ledger:
            input_hash = _input_hash(plan, target, selector, ledger.content_digest(before_round=plan.round))
            unit = plan.budget.unit if plan.budget else 'pixels'
            spent = int(ledger.spent(before_round=plan.round)[unit])
            known = Request.load(request_dir)
            complete = known is not None and known.header['input_hash'] == input_hash
            asked = ledger.request_of_round(plan.round)
            if known is not None and not complete and known.request_id == asked:
                raise LedgerError(f'round {plan.round} was asked with {request_dir}, but the weights, selector, data, '
                                  'budget or earlier answers are others now. Its labels are paid for: undo the change, '
                                  'or use a new work directory for another experiment')
            if not complete:
                withdraw_request(request_dir)
            ledger.checkpoint()
        return input_hash, spent, complete

    input_hash, spent, complete = _on_rank0(look_up)
    if complete:
        print_log(f'request in {request_dir} is complete for these inputs: reused', logger='current')
    else:
        select(plan, target, predict, selector, input_hash, spent, ledger_path, request_dir)
    request = Request.load(request_dir)
    if request is None:
        raise RuntimeError(f'{request_dir}/request.json is not visible on rank {rank}; all ranks need one shared disk')

    def answer() -> Generator[None, None, tuple[int, dict[str, Any]]]:
        with LabelLedger(ledger_path) as ledger:
            unanswered = yield from answer_steps(ledger, request, annotator)
            for start in range(0, len(target.keys), BATCH):
                ledger.export_labels(label_dir, target.keys[start:start + BATCH], before_round=plan.round + 1)
                yield
            ledger.checkpoint()
            return unanswered, ledger.spent()

    unanswered, totals = _steps_on_rank0(answer)
    if rank == 0:
        shutil.rmtree(request_dir / 'candidates', ignore_errors=True)
    barrier()
    return RoundResult(request, not complete, unanswered, totals)


def answer_steps(ledger: LabelLedger, request: Request, annotator: Annotator) -> Generator[None, None, int]:
    """Let the annotator answer what is open and store it batch by batch.

    Yields:
        None: after every batch.

    Returns:
        int: images left unanswered.
    """
    header = request.header
    ledger.open_campaign(
        dict(run=header['run'], classes=header['classes'], ignore_index=header['ignore_index'],
             images=header['images'], total_pixels=header['total_pixels'],
             dataset_fingerprint=header['dataset_fingerprint']),
        unit=header['budget']['unit'] if header['budget']['limit'] is not None else None,
        budget=header['budget']['limit'])
    ledger.add_request(request)
    done = ledger.answered_keys(request.request_id, annotator.name)
    left = [key for key in request.asked_keys() if key not in done]
    answers, answered = annotator.answer(request, left), 0
    while batch := list(islice(answers, BATCH)):
        ledger.record(request, batch)
        answered += len(batch)
        print_log(f'labels: {len(done) + answered}/{len(done) + len(left)} images answered', logger='current')
        yield
    return len(left) - answered


# ---- selection ---------------------------------------------------------------------------------------------------


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

    scored = _on_all(score)
    histogram, total_pixels = np.sum([h for h, _ in scored], axis=0), sum(p for _, p in scored)
    allowance = None if plan.budget is None else plan.budget.allowance(total_pixels, spent, plan.round,
                                                                       plan.num_rounds)
    cut = find_cut(histogram, allowance)

    def ties() -> dict[str, int]:
        return {target.keys[i]: count_ties(_own(request_dir, target.keys[i], input_hash)[0].score, cut) for i in mine}

    ties_of = {key: count for part in _on_all(ties) for key, count in part.items()}
    in_key_order = sorted(ties_of)
    quota = dict(zip(in_key_order, share_ties(np.array([ties_of[key] for key in in_key_order]), cut.ties)))

    def write_masks() -> dict[int, RequestItem]:
        return {i: _write_item(target, i, selector, input_hash, cut, int(quota[target.keys[i]]), request_dir)
                for i in mine}

    rows = {i: item for part in _on_all(write_masks) for i, item in part.items()}
    items = [rows[i] for i in range(len(target.keys))]
    shown = sorted((i for i, item in rows.items() if item.asked), key=lambda i: (-items[i].asked, items[i].key))

    def write_panels() -> None:
        for i in shown[:plan.panels]:
            if i in mine:
                label = predict(i, ('prob', ))['prob'].argmax(dim=0).cpu().numpy().astype(np.uint8)
                write_png_atomic(request_dir / 'predictions' / f'{target.keys[i]}.png', label)

    _on_all(write_panels)

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

    _on_rank0(write_package)


def _input_hash(plan: RoundPlan, target: TargetSet, selector: Selector, ledger_digest: str) -> str:
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


# ---- collectives that cannot leave a rank waiting ----------------------------------------------------------------


def _on_all(work: Callable[[], Any]) -> list[Any]:
    """Run on every rank and gather the results; an error on one rank is raised on all."""
    value, error = None, None
    try:
        value = work()
    except Exception as caught:  # raised below, after the other ranks know
        error = caught
    gathered = all_gather_object((value, None if error is None else f'{type(error).__name__}: {error}'))
    if error is not None:
        raise error
    for rank, (_, message) in enumerate(gathered):
        if message is not None:
            raise RuntimeError(f'rank {rank} failed in a round of active labelling: {message}')
    return [value for value, _ in gathered]


def _on_rank0(work: Callable[[], Any]) -> Any:
    """Run on rank 0 and give every rank its result; an error there is raised on all."""
    return _on_all(work if get_rank() == 0 else lambda: None)[0]


def _steps_on_rank0(work: Callable[[], Generator[None, None, Any]]) -> Any:
    """Like :func:`_on_rank0` for long work: the ranks meet at every step, so that none waits into a timeout."""
    steps = work() if get_rank() == 0 else None

    def advance() -> tuple[bool, Any]:
        try:
            next(steps)  # type: ignore[arg-type]
        except StopIteration as stop:
            return True, stop.value
        return False, None

    finished, value = False, None
    while not finished:
        finished, value = _on_rank0(advance)
    return value
