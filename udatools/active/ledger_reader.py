# SPDX-License-Identifier: Apache-2.0
"""What can be read from a label ledger: totals, labels, progress of rounds, agreement of people."""
import csv
import io
import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from udatools.utils.atomic import write_json_atomic, write_png_atomic, write_text_atomic

from .budget import Limits
from .image_questions import IMAGE_KINDS, TAGS, merge_tags
from .ledger_merge import count_disagreement, latest_of_each, merge_entries
from .ledger_schema import LedgerError, open_database
from .ledger_tags import TagEntries, tags_of_rows
from .request import NOT_ANSWERED, VOID

Self = TypeVar('Self', bound='LedgerReader')
#: Units that :meth:`LedgerReader.spent` reports.
SPENT_COLUMNS = ('pixels', 'points', 'clicks', 'components', 'seconds', 'void')
_COLUMN_OF = dict(pixels='pixels', points='points', regions='components', components='components', clicks='clicks',
                  seconds='seconds')
_ROW_COLUMNS = ('id', 'created_at', 'annotator', 'tool', 'request_id', 'round', 'key', 'pixels', 'points', 'clicks',
                'components', 'seconds', 'void', 'rejected', 'overlap', 'conflicts', 'corrections', 'histogram', 'asked',
                'answered_at', 'tags')
_CSV_NAMES = dict(created_at='when', annotator='who', request_id='request', key='image', asked='asked_pixels')


def column_of(unit: str) -> str:
    """The column of the ledger that counts a budget unit; regions are its ``components``.

    Raises:
        ValueError: if the unit is not one of pixels, points, regions, clicks, seconds.
    """
    column = _COLUMN_OF.get(unit)
    if column is None:
        raise ValueError(f'unit is {unit!r}; expected one of {tuple(_COLUMN_OF)}')
    return column


def decode_answer(blob: bytes) -> np.ndarray:
    """An answer map as stored: uint8, (H, W)."""
    answer = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_UNCHANGED)
    if answer is None:
        raise LedgerError('the ledger holds an answer that cannot be decoded: the file is damaged; restore a copy')
    return answer


def _span(round: int | None, before_round: int | None = None) -> tuple[str, tuple[int, ...]]:
    """A WHERE clause for one round, those before one, or all."""
    if round is not None:
        return ' WHERE round = ?', (round, )
    return (' WHERE 1', ()) if before_round is None else (' WHERE round < ?', (before_round, ))


class LedgerReader:
    """The reading half of :class:`udatools.active.ledger.LabelLedger`.

    Args:
        path (str | Path): the SQLite file.
        read_only (bool): open for reading without locks; works on network file systems while nobody writes.

    Raises:
        LedgerError: if the file is no ledger.
    """

    def __init__(self, path: str | Path, *, read_only: bool = True) -> None:
        self.path = Path(path)
        self._db = open_database(self.path, read_only=read_only)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ---- the campaign and its rounds -------------------------------------------------------------------------

    def budget(self) -> tuple[str, float] | None:
        """(unit, limit) of the campaign, None without one."""
        row = self._statement('unit, budget')
        return None if row is None or row[0] is None or row[1] is None else (row[0], row[1])

    def limits(self) -> Limits:
        """All limits of the campaign, in the unit of :meth:`budget`."""
        row = self._statement('budget, round_budget, image_budget, image_round_budget')
        return Limits() if row is None else Limits(*row)

    def policy(self) -> str:
        """What holds where people differ, of :data:`udatools.active.ledger_merge.POLICIES`."""
        row = self._statement('policy')
        return 'first' if row is None else row[0]

    def settings(self) -> dict[str, Any]:
        """Settings of the campaign as last stated, empty before."""
        row = self._statement('settings')
        return {} if row is None else json.loads(row[0])

    def _statement(self, columns: str) -> tuple | None:
        return self._db.execute(f'SELECT {columns} FROM statements ORDER BY id DESC LIMIT 1').fetchone()

    def request_of_round(self, round: int) -> str | None:
        """Id of the request of a round, None if none was asked."""
        row = self._db.execute('SELECT request_id FROM requests WHERE round = ?', (round, )).fetchone()
        return None if row is None else row[0]

    def rounds(self) -> list[int]:
        """Rounds that were asked, ascending."""
        return [row[0] for row in self._db.execute('SELECT DISTINCT round FROM requests ORDER BY round')]

    def closures(self) -> list[dict[str, Any]]:
        """How rounds ended: ``created_at``, ``request_id``, ``round``, ``who``, ``reason``, ``asked``, ``answered``."""
        names = ('created_at', 'request_id', 'round', 'who', 'reason', 'asked', 'answered')
        return [dict(zip(names, row)) for row in
                self._db.execute(f'SELECT {", ".join(names)} FROM closures ORDER BY round, id')]

    def why_closed(self, round: int) -> str | None:
        """Why a round takes no answers any more; None if it does."""
        row = self._db.execute('SELECT reason, who, created_at FROM closures WHERE round = ?', (round, )).fetchone()
        if row is not None:
            return f'{row[0]} (closed by {row[1]}, {row[2]})'
        later = self._db.execute('SELECT MIN(round) FROM requests WHERE round > ?', (round, )).fetchone()[0]
        return None if later is None else f'round {later} was selected from its answers'

    # ---- totals ----------------------------------------------------------------------------------------------

    def answered_keys(self, request_id: str, annotator: str | None = None) -> set[str]:
        """Images of a request with an answer (of one annotator)."""
        rows = self._db.execute('SELECT key, annotator FROM records WHERE request_id = ?', (request_id, ))
        return {key for key, who in rows if annotator is None or who == annotator}

    def annotators(self) -> list[str]:
        """Everybody who answered, in alphabetical order."""
        return [row[0] for row in self._db.execute('SELECT DISTINCT annotator FROM records ORDER BY annotator')]

    def spent(self, *, round: int | None = None, before_round: int | None = None,
              annotator: str | None = None) -> dict[str, Any]:
        """Totals of :data:`SPENT_COLUMNS` and ``images``, of all rounds, one round, or those before one.

        Pixels, points and components (regions) are counted once, however many people answered them; clicks and seconds
        are everybody's work. ``void`` are pixels that were first answered void.
        """
        where, values = _span(round, before_round)
        columns = ', '.join(f'COALESCE(SUM({name}), 0)' for name in SPENT_COLUMNS)
        row = self._db.execute(f'SELECT {columns}, COUNT(DISTINCT key) FROM records{where} '
                               'AND annotator = COALESCE(?, annotator)', (*values, annotator)).fetchone()
        return dict(zip((*SPENT_COLUMNS, 'images'), row))

    def spent_by_image(self, unit: str, before_round: int | None = None, *, round: int | None = None) -> dict[str, float]:
        """Units spent on each image that has an answer, of all rounds, of those before one, or of one.

        Args:
            unit (str): ``'pixels'``, ``'points'``, ``'regions'``, ``'clicks'`` or ``'seconds'``.
            before_round (int | None): leave out this round and later ones.
            round (int | None): this round alone.
        """
        where, values = _span(round, before_round)
        return {key: float(total) for key, total in self._db.execute(
            f'SELECT key, SUM({column_of(unit)}) FROM records{where} GROUP BY key ORDER BY key', values)}

    def class_histogram(self, round: int | None = None, *, before_round: int | None = None) -> dict[int, int]:
        """Answered pixels per train id (void left out), of one round, of those before one, or of all."""
        counts = {class_id: entry['pixels'] for class_id, entry in
                  self.coverage(round=round, before_round=before_round).items()}
        counts.pop(VOID, None)
        return counts

    def coverage(self, *, round: int | None = None, before_round: int | None = None) -> dict[int, dict[str, int]]:
        """What is labelled, by class, where people differ by the policy of the campaign.

        Returns:
            dict[int, dict[str, int]]: train id (254 = void) -> ``pixels`` and ``images`` that hold the class.
        """
        where, values = _span(round, before_round)
        # Entries that share no pixel add up; only what overlaps has to be decoded.
        disjoint = {key for (key, ) in self._db.execute(
            f'SELECT key FROM records{where} GROUP BY key '
            'HAVING SUM(overlap + corrections) = 0 AND COUNT(*) = COUNT(DISTINCT request_id)', values)}
        counts: dict[str, np.ndarray] = {}
        for key, text, void in self._db.execute(f'SELECT key, histogram, void FROM records{where}', values).fetchall():
            if key in disjoint:
                of_key = counts.setdefault(key, np.zeros(256, np.int64))
                for class_id, count in json.loads(text).items():
                    of_key[int(class_id)] += count
                of_key[VOID] += void
            elif key not in counts:
                label = merge_entries(self._entries(key, round=round, before_round=before_round), self.policy())
                counts[key] = np.zeros(256, np.int64) if label is None else np.bincount(label.ravel(), minlength=256)
        total = np.sum([np.zeros((2, 256), np.int64), *(np.stack([n, n > 0]) for n in counts.values())], axis=0)
        return {int(c): dict(pixels=int(total[0, c]), images=int(total[1, c]))
                for c in np.flatnonzero(total[0, :NOT_ANSWERED])}

    def disagreement(self) -> list[dict[str, Any]]:
        """Pairs of people who answered the same pixels.

        Returns:
            list[dict]: ``people`` (two names), ``pixels`` that both answered, ``differ`` those with different answers,
            ``share`` of them in [0, 1], ``classes``: train id (254 = void) -> ``either`` (pixels that one or both gave
            the class) and ``differ``.
        """
        totals: dict[tuple[str, str], dict[str, np.ndarray]] = {}
        shared = self._db.execute('SELECT key FROM records GROUP BY key HAVING COUNT(DISTINCT annotator) > 1 ORDER BY key')
        for (key, ) in shared.fetchall():
            maps = latest_of_each(self._entries(key))
            for pair in combinations(sorted(maps), 2):
                counts = count_disagreement(maps[pair[0]], maps[pair[1]])
                known = totals.get(pair)
                totals[pair] = counts if known is None else {name: known[name] + counts[name] for name in counts}
        return [dict(people=list(pair), pixels=int(total['both'][0]), differ=int(total['differing'][0]),
                     share=float(total['differing'][0] / total['both'][0]),
                     classes={int(c): dict(either=int(total['either'][c]), differ=int(total['differ'][c]))
                              for c in np.flatnonzero(total['either'])})
                for pair, total in sorted(totals.items()) if total['both'][0]]

    # ---- rows ------------------------------------------------------------------------------------------------

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every entry in the order of rounds and storing, without its pixels; ``histogram`` is train id -> pixels."""
        for row in self._db.execute(f'SELECT {", ".join(_ROW_COLUMNS)} FROM records ORDER BY round, id'):
            entry = dict(zip(_ROW_COLUMNS, row))
            entry['histogram'] = {int(c): n for c, n in json.loads(entry['histogram']).items()}
            yield entry

    def export_csv(self, path: str | Path) -> int:
        """Write :meth:`rows` as CSV, atomically; returns their number."""
        buffer, rows = io.StringIO(), list(self.rows())
        writer = csv.DictWriter(buffer, [_CSV_NAMES.get(name, name) for name in _ROW_COLUMNS], lineterminator='\n')
        writer.writeheader()
        for row in rows:
            row['histogram'] = ' '.join(f'{c}:{n}' for c, n in sorted(row['histogram'].items()))
            writer.writerow({_CSV_NAMES.get(name, name): value for name, value in row.items()})
        write_text_atomic(path, buffer.getvalue())
        return len(rows)

    # ---- labels ----------------------------------------------------------------------------------------------

    def _entries(self, key: str, *, round: int | None = None, before_round: int | None = None,
                 ) -> list[tuple[str, np.ndarray]]:
        where, values = _span(round, before_round)
        found = self._db.execute(f'SELECT annotator, answer FROM records{where} AND key = ? ORDER BY round, id',
                                 (*values, key))
        return [(annotator, decode_answer(blob)) for annotator, blob in found]

    def label(self, key: str, *, before_round: int | None = None) -> np.ndarray | None:
        """All answers to one image: uint8, (H, W), train id, 254 = void, 255 = none; None if it has no answer.

        Where people differ the policy of the campaign says what holds; a person's latest word is theirs.
        """
        return merge_entries(self._entries(key, before_round=before_round), self.policy())

    def labels_by_person(self, key: str) -> dict[str, np.ndarray]:
        """What each person says about an image: uint8, (H, W), as :meth:`label`."""
        return latest_of_each(self._entries(key))

    def answered_mask(self, key: str, *, before_round: int | None = None) -> np.ndarray | None:
        """Pixels answered already (void included): bool, (H, W); None if there is none."""
        label = self.label(key, before_round=before_round)
        return None if label is None else label != NOT_ANSWERED

    def _tag_entries(self, key: str, *, round: int | None = None, before_round: int | None = None) -> TagEntries:
        """(person, classes) of the latest of these rounds that asked the image as a whole and was answered."""
        where, values = _span(round, before_round)
        kinds = dict(self._db.execute('SELECT request_id, kind FROM requests'))
        found = self._db.execute(f'SELECT round, annotator, tags, request_id, answer FROM records{where} AND key = ? '
                                 'ORDER BY round, id', (*values, key))
        rows = [row for row in found if kinds[row[3]] in IMAGE_KINDS]
        return tags_of_rows([(annotator, text, None if kinds[request] == TAGS else decode_answer(blob))
                             for number, annotator, text, request, blob in rows if number == rows[-1][0]])

    def tags(self, key: str, *, round: int | None = None, before_round: int | None = None) -> frozenset[int] | None:
        """Classes that are in an image, as people said who were asked about the image as a whole; None if nobody did.

        Of several rounds the latest holds; where people differ, the policy of the campaign says what does.
        """
        return merge_tags(self._tag_entries(key, round=round, before_round=before_round), self.policy())

    def export_tags(self, path: str | Path, keys: Sequence[str], *, before_round: int | None = None) -> None:
        """Write ``{"classes": [names], "images": {key: [train ids]}}``, atomically; images without an answer are left out."""
        found = ((key, self.tags(key, before_round=before_round)) for key in keys)
        names = [row['name'] for row in self.settings().get('classes', [])]
        write_json_atomic(Path(path), dict(classes=names, images={key: sorted(tags) for key, tags in found if tags is not None}))

    def export_labels(self, label_dir: str | Path, keys: Sequence[str] | None = None, *,
                      before_round: int | None = None) -> int:
        """Write the labels so far as ``<label_dir>/<key>.png``, void as 255, each atomically.

        Args:
            label_dir (str | Path): folder.
            keys (Sequence[str] | None): images to export, None = all with an answer.
            before_round (int | None): leave out the answers of this round and later ones: a round that is trained
                again sees what it saw. The file of an image without earlier answers is removed.

        Returns:
            int: number of files that changed; equal ones are left alone.
        """
        rows = self._db.execute('SELECT DISTINCT key FROM records ORDER BY key').fetchall()
        wanted = None if keys is None else set(keys)
        changed = 0
        for (key, ) in rows:
            if wanted is not None and key not in wanted:
                continue
            label = self.label(key, before_round=before_round)
            path = Path(label_dir) / f'{key}.png'
            if label is None:
                changed += path.is_file()
                path.unlink(missing_ok=True)
                continue
            label = np.where(label == VOID, np.uint8(NOT_ANSWERED), label).astype(np.uint8)
            old = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
            if old is None or old.dtype != np.uint8 or not np.array_equal(old, label):
                write_png_atomic(path, label)
                changed += 1
        return changed

    def content_digest(self, *, before_round: int | None = None) -> str:
        """sha256 over questions and answers without the times of writing and the order in which images were stored.

        Two runs that asked and answered the same have the same digest.
        """
        digest = sha256()
        where, values = _span(None, before_round)
        for row in self._db.execute(f'SELECT round, request_id, kind, asked FROM requests{where} ORDER BY round', values):
            digest.update(json.dumps(row).encode())
        columns = ('request_id, key, annotator, tool, height, width, pixels, points, clicks, components, seconds, '
                   'void, rejected, digest')
        for row in self._db.execute(
                f'SELECT {columns} FROM records{where} ORDER BY round, request_id, key, annotator, id', values):
            digest.update(json.dumps(row).encode())
        return digest.hexdigest()
