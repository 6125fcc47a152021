# SPDX-License-Identifier: Apache-2.0
"""The log of the annotator page (``REQUEST_DIR/answers.sqlite``) as a format among others.

Of a person's events the later holds over the earlier and an undo takes one back; what several people answered becomes one
answer each. Seconds are those between events without breaks, of work that was taken back as well; clicks are those of the
events that hold. Exported is the package itself with its images: ``python tools/annotate.py FOLDER`` then works anywhere.
"""
import shutil
from collections.abc import Sequence
from datetime import datetime, timezone
from hashlib import sha256
from itertools import groupby
from pathlib import Path

import numpy as np

from ..annotator.events import IDLE_SECONDS, Asked, Event, effective, replay, runs_of_pixels, seconds_of, taken_back
from ..annotator.store import FILENAME, AnswerStore, StoreError
from ..request import NOT_ANSWERED, VOID, Answer, Request
from ..submission import Problem, Submission, TakenBack
from .base import Codec, ImageOf, Sample
from .documents import place_image
from .shapes import check_answers

_MAGIC = b'SQLite format 3\x00'


class PageCodec(Codec):
    """Answers given on the annotator page."""

    name = 'page'
    title = 'annotator page, answers.sqlite'
    filename = FILENAME

    def recognises(self, sample: Sample) -> bool:
        path = sample.path / FILENAME if sample.path.is_dir() else sample.path
        if not path.is_file():
            return False
        with open(path, 'rb') as stream:
            return stream.read(len(_MAGIC)) == _MAGIC

    def read(self, path: str | Path, request: Request) -> Submission:
        path = Path(path)
        path = path / FILENAME if path.is_dir() else path
        if not path.is_file():
            raise FileNotFoundError(f'{path} does not exist: nobody has answered on the annotator page yet')
        try:
            with AnswerStore(path, read_only=True) as store:
                return _read(store, request)
        except StoreError as error:
            raise ValueError(str(error)) from error

    def export(self, request: Request, out_dir: str | Path, images: ImageOf) -> list[Path]:
        out_dir = Path(out_dir)
        if out_dir.resolve() == request.root.resolve():
            raise ValueError(f'{out_dir} is the request package itself; give another folder, or answer in this one')
        keys = request.asked_keys()
        names = [name for key in keys if (name := request[key].mask) is not None]
        # request.json last: its presence means that the package is complete.
        for name in [*names, 'items.jsonl', 'request.json']:
            (out_dir / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(request.root / name, out_dir / name)
        placed = [place_image(request[key], images, out_dir / 'images') for key in keys]
        return [out_dir / 'request.json', *(file for file in placed if file is not None)]

    def write(self, request: Request, answers: Sequence[Answer], out_dir: str | Path) -> list[Path]:
        by_key, out_dir = check_answers(request, answers), Path(out_dir)
        out_dir.mkdir(parents=True, exist_ok=True)
        try:
            with AnswerStore(out_dir / FILENAME, request.request_id) as store:
                for key, given in by_key.items():
                    asked = Asked.of(request.regions(key))
                    for answer in given:
                        store.append(_events(request, answer, asked))
        except StoreError as error:
            raise ValueError(str(error)) from error
        return [out_dir / FILENAME]


def _read(store: AnswerStore, request: Request) -> Submission:
    if store.request_id != request.request_id:
        what = f'answers request {store.request_id[:12]}, not {request.request_id[:12]}; left out'
        return Submission(store.request_id, [], [Problem(store.path.name, what)])
    problems = [Problem(f'{store.path.name}, {key!r}', 'is no image of the request; left out')
                for key in store.keys() if key not in request or not request[key].asked]
    present, answers, undone = set(store.keys()), [], []
    for key in request.asked_keys():
        if key not in present:
            continue
        asked = Asked.of(request.regions(key))
        events = sorted(store.events(key=key), key=lambda event: (event.who, event.number))
        for who, group in groupby(events, key=lambda event: event.who):
            mine = list(group)
            labels = replay(mine, asked)
            unknown = (labels >= request.num_classes) & (labels < VOID)
            if unknown.any():
                problems.append(Problem(f'{store.path.name}, {key!r} by {who}', f'{int(unknown.sum())} pixels hold a class id '
                                        f'beyond {request.num_classes - 1}; left unanswered'))
                labels[unknown] = NOT_ANSWERED
            if (open_again := taken_back(mine, asked)).any():
                undone.append(TakenBack(key, who, asked.mask(open_again)))
            answered = labels != NOT_ANSWERED
            if not answered.any():
                continue
            answers.append(Answer(
                key=key, answer=asked.full(labels), annotator=who, tool=PageCodec.name,
                points=int(answered.sum()) if request.kind == 'points' else 0,
                clicks=sum(event.clicks for event in effective(mine)),
                components=int(np.unique(asked.region[answered]).size), seconds=round(seconds_of(mine), 3),
                answered_at=_iso(max(event.time_ms for event in mine))))
    return Submission(request.request_id, answers, problems, undone)


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, timezone.utc).isoformat(timespec='milliseconds') if time_ms else ''


def _events(request: Request, answer: Answer, asked: Asked) -> list[Event]:
    """Events that amount to an answer: one a region and class, its time and clicks shared out among them."""
    labels = answer.answer.ravel()[asked.flat]
    pairs = asked.region * 256 + labels
    found = [int(pair) for pair in np.unique(pairs[labels != NOT_ANSWERED])]
    events = []
    for place, pair in enumerate(found):
        region, value = divmod(pair, 256)
        where = pairs == pair
        runs = runs_of_pixels(asked.flat[where]) if request.kind == 'segments' else None
        name = sha256(repr((request.request_id, answer.key, answer.annotator, answer.tool, pair,
                            asked.flat[where].tobytes())).encode()).hexdigest()[:32]
        clicks = answer.clicks // len(found) + (place < answer.clicks % len(found))
        events.append(Event(name, answer.annotator, answer.tool, answer.key, 'void' if value == VOID else 'label', region, value,
                            runs, min(answer.seconds / len(found), IDLE_SECONDS), clicks))
    return events
