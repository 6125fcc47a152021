# SPDX-License-Identifier: Apache-2.0
"""Where the request packages and the ledger of a run lie, from its work directory or from one package."""
from pathlib import Path
from typing import NamedTuple

from .ledger_reader import LedgerReader
from .request import Request

LEDGER = 'ledger.sqlite'


class Package(NamedTuple):
    """A request and the run that asked it.

    Attributes:
        work_dir (Path): of the run.
        request (Request): the package.
    """
    work_dir: Path
    request: Request

    @property
    def ledger_path(self) -> Path:
        """The ledger of the run."""
        return self.work_dir / LEDGER


def find_package(path: str | Path) -> Package:
    """The package of a folder, or the newest one of a work directory.

    Args:
        path (str | Path): folder of a request package inside a work directory, or the work directory.

    Raises:
        FileNotFoundError: if there is no package, or no ledger belongs to it.
        ValueError: if the package is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f'{path} is no folder; expected a work directory or WORK_DIR/requests/round_N')
    if (path / 'request.json').is_file():
        request = Request.load(path)
        assert request is not None
        work_dir = next((folder for folder in path.resolve().parents if (folder / LEDGER).is_file()), None)
        if work_dir is None:
            raise FileNotFoundError(f'no folder above {path} holds a {LEDGER}: the package must lie in the work directory of '
                                    'the run that asked (WORK_DIR/requests/round_N); answers given elsewhere are brought in '
                                    'there')
        return Package(work_dir, request)
    if not (path / LEDGER).is_file():
        raise FileNotFoundError(f'{path} holds neither a request.json nor a {LEDGER}; expected a work directory in which a '
                                'round was asked, or WORK_DIR/requests/round_N')
    with LedgerReader(path / LEDGER) as ledger:
        rounds = ledger.rounds()
    if not rounds:
        raise FileNotFoundError(f'{path / LEDGER} notes no request: nothing was asked yet')
    found = package_of_round(path, rounds[-1])
    if found is None:
        raise FileNotFoundError(f'{path / "requests"} lacks the package of round {rounds[-1]}; run again with --resume: it is '
                                'written anew')
    return Package(path.resolve(), found)


def package_of_round(work_dir: Path, round: int) -> Request | None:
    """The package of a round; None if it is not there.

    Raises:
        ValueError: if it is damaged.
    """
    return Request.load(work_dir / 'requests' / f'round_{round}')
