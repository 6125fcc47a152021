# SPDX-License-Identifier: Apache-2.0
"""One round of active labelling, sharded over processes and safe to kill anywhere.

Selection ends with a complete request on disk; answering only ever adds to the ledger; label PNGs are rebuilt from the
ledger. A rerun continues at the first of these that is not complete and comes to the same request, ledger and labels:
what a selection depends on (weights, selector, data, answers of *earlier* rounds) does not change by the round itself.
"""
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, get_rank
from mmengine.logging import print_log

from .annotators import Annotator
from .collectives import on_rank0, steps_on_rank0
from .ledger import LabelLedger, LedgerError
from .request import Request, withdraw_request
from .round_plan import Predict, RoundPlan, TargetSet
from .selection import input_hash_of, select
from .selectors import Selector

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
            input_hash = input_hash_of(plan, target, selector, ledger.content_digest(before_round=plan.round))
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

    input_hash, spent, complete = on_rank0(look_up)
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

    unanswered, totals = steps_on_rank0(answer)
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
