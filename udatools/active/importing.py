# SPDX-License-Identifier: Apache-2.0
"""Answers of people into the ledger: read by a codec, checked against the request, stored in one transaction.

What cannot be used is never used silently: a file of another request or one that cannot be read is refused; a single item
that does not fit is left out and named; what people contradict each other about is stored and counted. What is stored
already is not touched, and the same import again changes nothing.
"""
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from udatools.utils.atomic import write_json_atomic
from udatools.visualization.tables import text_table

from .codecs import CODECS, check_kind, detect
from .ledger import KNOWN, OVER_BUDGET, RECORDED, LabelLedger, LedgerError, Outcome
from .ledger_merge import overlay
from .package_files import Package
from .progress import Progress, request_progress
from .request import NOT_ANSWERED, VOID, Answer, Request
from .submission import Problem, Submission, TakenBack, person_name

#: Problems that a console shows; the report has all.
SHOWN = 20


@dataclass
class FileReport:
    """What became of one file.

    Attributes:
        path (str): the file or folder.
        format (str): name of its codec, ``''`` if it could not be told.
        sha256 (str): of the file, ``''`` for a folder.
        answers (int): answers in it that fit the request.
        refused (str): why nothing of it was used, ``''`` if it was.
        problems (list[Problem]): items that were left out.
    """
    path: str
    format: str = ''
    sha256: str = ''
    answers: int = 0
    refused: str = ''
    problems: list[Problem] = field(default_factory=list)


@dataclass
class ImportReport:
    """Outcome of an import.

    Attributes:
        request_id (str): what was answered.
        round (int): its round.
        dry_run (bool): nothing was stored, this is what would happen.
        files (list[FileReport]): one a file.
        outcomes (list[Outcome]): one an answer (image and person).
        problems (list[Problem]): of all files together, such as one person's contradicting files.
        kept (list[Problem]): answers that were taken back after an earlier import; the ledger keeps them.
        refused (str): why nothing at all was stored, ``''`` if the ledger took it.
        closed (bool): whether the round is closed now.
        progress (Progress | None): of the request afterwards.
    """
    request_id: str
    round: int
    dry_run: bool
    files: list[FileReport]
    outcomes: list[Outcome] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    kept: list[Problem] = field(default_factory=list)
    refused: str = ''
    closed: bool = False
    progress: Progress | None = None

    @property
    def exit_code(self) -> int:
        """0 if everything usable is in the ledger; 2 if the ledger or a file was refused, or nothing could be used."""
        used = self.closed or any(outcome.status in (RECORDED, KNOWN) for outcome in self.outcomes)
        return 2 if self.refused or any(file.refused for file in self.files) or not used else 0

    def to_json(self) -> dict[str, Any]:
        """Everything, for the report file."""
        return {**asdict(self), 'outcomes': [outcome._asdict() for outcome in self.outcomes],
                'exit_code': self.exit_code}


def import_answers(package: Package, paths: Sequence[str | Path], *, format: str = 'auto', who: str | None = None,
                   close: bool = False, dry_run: bool = False) -> ImportReport:
    """Read files and store what they answer.

    A file is refused as a whole if it cannot be read, answers another request, or does not say who answered. The rest is
    stored in one transaction; where the campaign's budget ends, so does what is stored. A report goes to
    ``WORK_DIR/imports/NNN.json`` (not in a dry run).

    Args:
        package (Package): the request and its run.
        paths (Sequence[str | Path]): files or folders as people got them from their tool.
        format (str): name of a codec, or ``'auto'``.
        who (str | None): who answered, for files that do not say it, or in place of the one name that a file has.
        close (bool): the round takes no more answers after this; not done if something was refused.
        dry_run (bool): say what would happen, store nothing.
    """
    request = package.request
    files: list[FileReport] = []
    read: list[tuple[str, Answer]] = []
    undone: list[TakenBack] = []
    for path in map(Path, paths):
        file = FileReport(str(path), sha256=sha256(path.read_bytes()).hexdigest() if path.is_file() else '')
        files.append(file)
        found, taken_back = _read(path, request, format, who, file)
        read += found
        undone += taken_back
    report = ImportReport(request.request_id, request.round, dry_run, files)
    answers = _one_each(read, report.problems)
    with LabelLedger(package.ledger_path) as ledger:
        try:
            report.outcomes = list(ledger.record(request, answers, within_budget=True, dry_run=dry_run).outcomes)
            report.progress = request_progress(ledger, request)
            report.kept = _still_stored(ledger, undone)
            if close and not dry_run and not any(file.refused for file in files):
                ledger.close_round(request, who or 'import', 'closed by hand', asked=report.progress.asked,
                                   answered=report.progress.answered)
            report.closed = ledger.why_closed(request.round) is not None
        except LedgerError as error:
            report.refused = str(error)
        ledger.checkpoint()
    if not dry_run:
        _write_report(package.work_dir / 'imports', report)
    return report


def _read(path: Path, request: Request, format: str, who: str | None,
          file: FileReport) -> tuple[list[tuple[str, Answer]], list[TakenBack]]:
    """(file, answer) of what fits the request, and what was undone; the file's report says what does not fit."""
    try:
        codec = detect(path) if format == 'auto' else CODECS[format]
        file.format = codec.name
        check_kind(codec, request)
        submission = codec.read(path, request)
    except (ValueError, OSError) as error:
        file.refused = str(error)
        return [], []
    file.problems = list(submission.problems)
    if submission.request_id not in (None, request.request_id):
        file.refused = (f'it answers request {str(submission.request_id)[:12]}, not {request.request_id[:12]} of round '
                        f'{request.round}; give the package that it was exported from')
        return [], []
    if (refusal := _name_problem(submission, who)) is not None:
        file.refused = refusal
        return [], []
    found = []
    for answer in submission.answers:
        wrong = _misfit(answer, request)
        if wrong is not None:
            file.problems.append(Problem(answer.key, wrong))
        elif not answer.is_empty:
            found.append((str(path), replace(answer, annotator=person_name(who or answer.annotator))))
    file.answers = len(found)
    return found, [replace(undone, annotator=person_name(who or undone.annotator)) for undone in submission.taken_back]


def _still_stored(ledger: LabelLedger, undone: Iterable[TakenBack]) -> list[Problem]:
    """What the ledger, which is never changed, holds of answers that were taken back."""
    kept = []
    for one in undone:
        said = ledger.labels_by_person(one.key).get(one.annotator)
        count = 0 if said is None else int(((said != NOT_ANSWERED) & one.pixels).sum())
        if count:
            kept.append(Problem(f'{one.key!r} by {one.annotator}', f'{count} answered pixels were taken back after they had been '
                                'imported; the ledger keeps them. Answer them anew; void takes them out of training'))
    return kept


def _name_problem(submission: Submission, who: str | None) -> str | None:
    names = sorted({person_name(answer.annotator) for answer in submission.answers})
    if who is None and '' in names:
        return 'it does not say who answered; give --who NAME'
    if who is not None and len(names) > 1:
        return (f'it holds answers of {len(names)} people ({", ".join(map(repr, names))}), which --who {who} would make one; '
                'leave --who out')
    return None


def _misfit(answer: Answer, request: Request) -> str | None:
    """Why an answer cannot be an answer to this request, None if it can."""
    if answer.key not in request:
        return f'request {request.request_id[:12]} does not contain this image; left out'
    item, given = request[answer.key], answer.answer
    if given.dtype != np.uint8 or given.shape != (item.height, item.width):
        return (f'the answer is {given.dtype} {given.shape}, expected uint8 {(item.height, item.width)}, the native size of '
                'the image; left out')
    if ((given >= request.num_classes) & (given < VOID)).any():
        return f'it holds class ids beyond {request.num_classes - 1}; left out'
    return None


def _one_each(read: Iterable[tuple[str, Answer]], problems: list[Problem]) -> list[Answer]:
    """One answer an image and person; where files of one person contradict each other nothing is taken."""
    found: dict[tuple[str, str], Answer] = {}
    contradicted: dict[tuple[str, str], np.ndarray] = {}
    for source, answer in read:
        name = answer.key, answer.annotator
        if name not in found:
            found[name] = answer
            continue
        first = found[name]
        if ((first.clicks, first.seconds, first.tags) == (answer.clicks, answer.seconds, answer.tags)
                and np.array_equal(first.answer, answer.answer)):
            problems.append(Problem(f'{source}: {answer.key}', f'the same answer of {answer.annotator} twice; taken once'))
            continue
        if first.tags is not None and first.tags != answer.tags:
            problems.append(Problem(f'{source}: {answer.key}', 'the tags are others than in an earlier file of '
                                    f'{answer.annotator}; they were left out of both'))
            found[name] = replace(first, tags=None)
            continue
        differ = (first.answer != NOT_ANSWERED) & (answer.answer != NOT_ANSWERED) & (first.answer != answer.answer)
        if differ.any():
            problems.append(Problem(f'{source}: {answer.key}', f'{int(differ.sum())} pixels have another label than in an '
                                    f'earlier file of {answer.annotator}; they were left out of both'))
        contradicted[name] = differ | contradicted.get(name, np.zeros_like(differ))
        merged = np.where(contradicted[name], np.uint8(NOT_ANSWERED), overlay(first.answer, answer.answer))
        found[name] = replace(first, answer=merged, clicks=first.clicks + answer.clicks,
                              seconds=first.seconds + answer.seconds)
    return [answer for answer in found.values() if not answer.is_empty]


def _write_report(folder: Path, report: ImportReport) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    used = [int(path.stem) for path in folder.glob('*.json') if path.stem.isdigit()]
    path = folder / f'{max(used, default=0) + 1:03d}.json'
    write_json_atomic(path, report.to_json())
    return path


def format_import(report: ImportReport) -> str:
    """What was taken and what was not, and why, for a console."""
    lines = []
    people = sorted({outcome.annotator for outcome in report.outcomes})
    rows = []
    for person in people:
        own = [outcome for outcome in report.outcomes if outcome.annotator == person]
        rows.append([person, *(str(sum(outcome.status == status for outcome in own)) for status in
                               (RECORDED, KNOWN, OVER_BUDGET)),
                     *(f'{sum(getattr(outcome, name) for outcome in own):g}' for name in
                       ('pixels', 'components', 'clicks', 'seconds', 'void', 'conflicts', 'corrections', 'rejected'))])
    if rows:
        lines.append(text_table(['who', 'images', 'known', 'over budget', 'pixels', 'regions', 'clicks', 'seconds', 'void',
                                 'conflicts', 'corrected', 'not asked'], rows))
    for file in report.files:
        taken = f'refused: {file.refused}' if file.refused else f'{file.answers} answers taken ({file.format})'
        lines.append(f'{file.path}: {taken}' + (f', {len(file.problems)} items left out' if file.problems else ''))
    problems = [problem for file in report.files for problem in file.problems] + report.problems
    lines += [f'  left out - {problem.where}: {problem.what}' for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f'  ... and {len(problems) - SHOWN} more, all in the report')
    lines += [f'  kept - {problem.where}: {problem.what}' for problem in report.kept]
    if over := sum(outcome.status == OVER_BUDGET for outcome in report.outcomes):
        lines.append(f'{over} answers are over the budget of the campaign and were not stored; --close goes on with the others.')
    if report.refused:
        lines.append(f'NOTHING WAS STORED: {report.refused}')
    elif report.dry_run:
        lines.append('Dry run: nothing was stored.')
    if report.progress is not None:
        lines.append(f'Round {report.round}: {report.progress.answered} of {report.progress.asked} {report.progress.unit} in '
                     f'the ledger are answered, {report.progress.done} of {report.progress.images} images completely.'
                     + (' The round is closed.' if report.closed else ''))
    return '\n'.join(lines)
