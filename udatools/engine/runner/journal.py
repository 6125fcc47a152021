# SPDX-License-Identifier: Apache-2.0
"""The record of a staged run: which stages are done, with which inputs and outputs, in one atomic JSON file.

A lock on the work directory keeps a second process out; it is the kernel's, so a killed run leaves none behind. Loader
workers are forks and would keep it alive for some seconds after their parent was killed, so they let go of it at birth.
"""
import fcntl
import json
import os
from pathlib import Path
from typing import Any, TextIO

from udatools.utils.atomic import explain_write, write_json_atomic

#: Statuses of a stage; a waiting one has asked people and goes on when enough of them answered.
PENDING, RUNNING, WAITING, DONE = 'pending', 'running', 'waiting', 'done'


_held: set[TextIO] = set()


def _let_go() -> None:
    """In a forked child: closing does not release what the parent holds."""
    for file in _held:
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


class WorkDirInUseError(RuntimeError):
    """Another process runs in this work directory."""


class JournalError(RuntimeError):
    """The work directory holds a run that does not fit what is asked for."""


class WorkDirLock:
    """An exclusive lock on ``work_dir/lock`` for the life of a process.

    Raises:
        OSError: when the folder cannot be made or written to; names the remedy.
        WorkDirInUseError: when another process holds it; names the process.
    """

    def __init__(self, work_dir: Path) -> None:
        self.path = work_dir / 'lock'
        self._file: TextIO | None = None

    def __enter__(self) -> 'WorkDirLock':
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, 'a+', encoding='utf-8')  # noqa: SIM115 - held for the life of the run
        except OSError as error:
            raise explain_write(self.path, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or 'unknown'
            self._file.close()
            raise WorkDirInUseError(f'{self.path.parent} is in use by another run (process {holder}); wait for it, stop it, or '
                                    'choose another folder (--work-dir, --out)') from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()
        _held.add(self._file)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._file is not None and not self._file.closed:
            _held.discard(self._file)
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self._file.close()


class Journal:
    """Stages of a run by name, in order.

    Args:
        path (Path): ``work_dir/journal.json``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, Any] = {'schema_version': 1, 'run': {}, 'stages': {}}
        if path.exists():
            try:
                self.content = json.loads(path.read_text(encoding='utf-8'))
                if not isinstance(self.content, dict) or not isinstance(self.content.get('stages'), dict):
                    raise ValueError('it lists no stages')
            except (ValueError, OSError) as error:
                raise JournalError(f'{path} cannot be read ({error}); restore it or choose another --work-dir') from error

    @property
    def exists(self) -> bool:
        """Whether a run has been recorded here."""
        return bool(self.content['stages'])

    def stage(self, name: str) -> dict[str, Any]:
        """A copy of a stage's record; ``{'status': 'pending'}`` for one that has not begun."""
        return dict(self.content['stages'].get(name, {'status': PENDING}))

    def update(self, name: str, **values: Any) -> None:
        """Merges values into a stage's record and writes the file."""
        self.content['stages'][name] = self.stage(name) | values
        self.write()

    def write(self) -> None:
        """Atomic write."""
        write_json_atomic(self.path, self.content)
