# SPDX-License-Identifier: Apache-2.0
"""One round of active labelling, sharded over processes and safe to kill anywhere.

Selection ends with a complete request on disk; answering only ever adds to the ledger; label PNGs are rebuilt from the
ledger. A rerun continues at the first of these that is not complete and comes to the same request, ledger and labels:
what a selection depends on (weights, selector, data, answers of *earlier* rounds) does not change by the round itself.
A round that goes on is closed in the ledger: no answer comes in after a model was trained on what was there.
"""
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, get_rank, get_world_size
from mmengine.logging import print_log

from .annotators import Annotator, AnswersPending
from .budget import Limits
from .collectives import on_all, on_rank0, steps_on_rank0
from .image_questions import IMAGE_KINDS
from .ledger import NO_LIMITS, LabelLedger, LedgerError, column_of
from .overlays import write_overlays
from .progress import request_progress
from .request import Request, withdraw_request
from .round_plan import Predict, RoundPlan, TargetSet
from .selection import input_hash_of, select, spent_before
from .selectors import Selector

#: Answers per ledger transaction.
BATCH = 32


@dataclass(frozen=True)
class RoundResult:
    """Outcome of a round.

    Attributes:
        request (Request): what was asked.
        selected (bool): False if a complete request of an earlier run was reused.
        unanswered (int): images that still wait for an answer; 0 once the round is closed.
        spent (dict): totals of the whole campaign so far.
        pending (AnswersPending | None): what people are waited for, None if the round goes on.
    """
    request: Request
    selected: bool
    unanswered: int
    spent: dict[str, Any]
    pending: AnswersPending | None = None


def ask_round(plan: RoundPlan, target: TargetSet, predict: Predict, selector: Selector, annotator: Annotator, *,
              ledger_path: str | Path, request_dir: str | Path, label_dir: str | Path, tag_file: str | Path | None = None,
              policy: str = 'first') -> RoundResult:
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
        tag_file (str | Path | None): JSON file of the classes of images, where images were asked about as a whole; None: none.
        policy (str): what holds where people differ, of :data:`udatools.active.ledger_merge.POLICIES`.

    Returns:
        RoundResult: the same on every rank.
    """
    request_dir, rank = Path(request_dir), get_rank()

    def look_up() -> tuple[str, dict[str, float], bool]:
        with LabelLedger(ledger_path) as ledger:
            input_hash = input_hash_of(plan, target, selector, ledger.content_digest(before_round=plan.round))
            spent = spent_before(plan, ledger)
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

    input_hash, spent, complete = on_rank0(look_up)
    if complete:
        print_log(f'request in {request_dir} is complete for these inputs: reused', logger='current')
    else:
        select(plan, target, predict, selector, input_hash, spent, ledger_path, request_dir)
    request = Request.load(request_dir)
    if request is None:
        raise RuntimeError(f'{request_dir}/request.json is not visible on rank {rank}; all ranks need one shared disk')

    if annotator.waits and request.kind not in IMAGE_KINDS:
        on_all(lambda: write_overlays(request, [(target.keys[i], target.image_paths[i])
                                                for i in range(rank, len(target.keys), get_world_size())]))
    header = request.header
    limits = NO_LIMITS if plan.budget is None else plan.budget.limits(
        header['budget']['limit'], header['total_pixels'], plan.num_rounds)

    def answer() -> Generator[None, None, tuple[RoundState, dict[str, Any]]]:
        with LabelLedger(ledger_path) as ledger:
            state = yield from answer_steps(ledger, request, annotator, policy=policy, limits=limits)
            for start in range(0, len(target.keys) if state.pending is None else 0, BATCH):
                ledger.export_labels(label_dir, target.keys[start:start + BATCH], before_round=plan.round + 1)
                yield
            if tag_file is not None and state.pending is None:
                ledger.export_tags(tag_file, target.keys, before_round=plan.round + 1)
            ledger.checkpoint()
            return state, ledger.spent()

    state, totals = steps_on_rank0(answer)
    if rank == 0:
        shutil.rmtree(request_dir / 'candidates', ignore_errors=True)
    barrier()
    return RoundResult(request, not complete, state.unanswered, totals, state.pending)


@dataclass(frozen=True)
class RoundState:
    """How far the answers of a round are.

    Attributes:
        unanswered (int): images that still wait for an answer; 0 once the round is closed.
        pending (AnswersPending | None): what people are waited for.
    """
    unanswered: int = 0
    pending: AnswersPending | None = None


def answer_steps(ledger: LabelLedger, request: Request, annotator: Annotator, *,
                 policy: str = 'first', limits: Limits = NO_LIMITS) -> Generator[None, None, RoundState]:
    """Let the annotator answer what is open, store it batch by batch, and close the round when it can go on.

    Where the budget ends, the round ends: what fits is stored, in the order of the answers, and the rest is not asked
    any more (of that image, where the limit of an image is what ends).

    Yields:
        None: after every batch.

    Returns:
        RoundState: what is still open.
    """
    header = request.header
    budget = header['budget']
    ledger.open_campaign(
        dict(run=header['run'], classes=header['classes'], ignore_index=header['ignore_index'],
             images=header['images'], total_pixels=header['total_pixels'],
             dataset_fingerprint=header['dataset_fingerprint']),
        unit=budget['unit'] if budget['limit'] is not None else None, limits=limits, policy=policy)
    ledger.add_request(request)
    if ledger.why_closed(request.round) is not None:
        return RoundState()
    if annotator.waits:
        return _wait(ledger, request, annotator)
    done = set.intersection(*(ledger.answered_keys(request.request_id, name) for name in annotator.names))
    left = [key for key in request.asked_keys() if key not in done]
    answers, answered, used_up = annotator.answer(request, left), set(done), False
    by_image = limits.of_image is not None
    while (by_image or not used_up) and (batch := list(islice(answers, BATCH))):
        summary = ledger.record(request, batch, within_budget=True)
        used_up = used_up or summary.over_budget > 0
        answered.update(outcome.key for outcome in summary.outcomes)
        print_log(f'labels: {len(answered)}/{len(done) + len(left)} images answered', logger='current')
        yield
    unanswered = len(done) + len(left) - len(answered)
    if used_up:
        _close(ledger, request, annotator.name, _used_up(limits, budget['unit']))
    elif unanswered == 0:
        _close(ledger, request, annotator.name, 'everything is answered')
    return RoundState(0 if used_up else unanswered)


def _wait(ledger: LabelLedger, request: Request, annotator: Annotator) -> RoundState:
    """Close the round if enough is answered, or nothing more can be paid for."""
    progress = request_progress(ledger, request)
    budget, limits = ledger.budget(), ledger.limits()
    if progress.answered >= annotator.min_answered * progress.asked:
        reason = (f'{progress.answered} of {progress.asked} {progress.unit} are answered, min_answered is '
                  f'{annotator.min_answered:g}')
    elif budget is not None and any(
            limit is not None and spent[column_of(budget[0])] >= limit for limit, spent in (
                (limits.total, ledger.spent()), (limits.in_round, ledger.spent(round=request.round)))):
        reason = _used_up(limits, budget[0])
    else:
        pending = AnswersPending(request.root, progress.open, progress.asked, request.round)
        return RoundState(progress.images - progress.done, pending)
    _close(ledger, request, annotator.name, reason)
    return RoundState()


def _used_up(limits: Limits, unit: str) -> str:
    limit = limits.total if limits.in_round is None else limits.in_round
    return f'the budget of {limit:g} {unit}{"" if limits.in_round is None else " a round"} is used up'


def _close(ledger: LabelLedger, request: Request, who: str, reason: str) -> None:
    progress = request_progress(ledger, request)
    ledger.close_round(request, who, reason, asked=progress.asked, answered=progress.answered)
    print_log(f'round {request.round} is closed: {reason}', logger='current')
