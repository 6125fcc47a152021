# SPDX-License-Identifier: Apache-2.0
"""Files over HTTP that are checked, go on where they stopped, and never lie half-written under their name.

torch and mmengine start a broken download over. Here the bytes so far wait in a hidden file beside the destination, of this
run or an earlier one, and only the rest is asked for; where a server ignores that, the file starts over. What has arrived
counts once its SHA-256 is right; then it takes its name in one step.
"""
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from udatools.utils.atomic import explain_write, replace_atomic
from udatools.utils.progress import Progress

CHUNK = 1 << 18
_MIB = 1 << 20
_TRANSIENT = (408, 425, 429)  # of the 4xx answers those that may be others in a moment
_NO_SUCH_RANGE = 416


class DownloadError(RuntimeError):
    """A file cannot be had, or is not the one that was expected."""


class _Interrupted(Exception):
    """The same address may do better at the next attempt."""


class _GiveUp(Exception):
    """This address will not do; the next one may."""


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file."""
    with open(path, 'rb') as stream:
        return _digest(stream)


def fetch_file(urls: Sequence[str], target: Path, *, sha256: str, size: int | None = None, attempts: int = 3,
               pause: float = 1.0, timeout: float = 30.0) -> Path:
    """Fetches a file from the first address that has it.

    Args:
        urls (Sequence[str]): http(s) addresses of the file, in the order in which they are asked.
        target (Path): where to. A file that is there already and right is taken as it is, a wrong one is replaced.
        sha256 (str): hex; the first eight digits or more.
        size (int, optional): bytes, where known.
        attempts (int): so many in a row that bring no new byte give an address up.
        pause (float): seconds before the second attempt, twice that before the third, and so on.
        timeout (float): seconds without a byte that end an attempt.

    Returns:
        Path: ``target``.

    Raises:
        DownloadError: when no address brought the file; names each with its reason. What has arrived stays for the next time.
        OSError: when it cannot be written.
    """
    if wrong := [url for url in urls if urlsplit(url).scheme not in ('http', 'https')]:
        raise DownloadError(f'{wrong[0]} is no http or https address; files of a folder are taken with --offline')
    if target.is_file() and file_digest(target).startswith(sha256):
        return target
    reasons: list[str] = []
    with _partial_file(target, sha256) as (part, file):
        for url in urls:
            try:
                _fetch_from(url, file, sha256=sha256, size=size, attempts=attempts, pause=pause, timeout=timeout,
                            name=target.name)
            except _GiveUp as error:
                reasons.append(f'{url}: {error}')
            else:
                replace_atomic(part, target)
                return target
        kept = _length(file)
    kept_text = f' {kept} bytes wait in {part} for the next try.' if kept else ''
    raise DownloadError(f'{target.name} could not be fetched ({"; ".join(reasons) or "there is no address to ask"}).{kept_text}')


@contextmanager
def _partial_file(target: Path, sha256: str) -> Iterator[tuple[Path, BinaryIO]]:
    """The hidden file of one content, open for this process alone; an empty one is not left behind."""
    part = target.parent / f'.{target.name}.{sha256[:16]}.part'
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = open(part, 'a+b', buffering=0)  # noqa: SIM115 - closed below
    except OSError as error:
        raise explain_write(target, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.stat(part), os.fstat(file.fileno()))  # not one that was renamed in between
        except OSError:
            mine = False
        if not mine:
            raise DownloadError(f'another process is fetching {target}; wait for it, then repeat this command')
        try:
            yield part, file
        finally:
            if part.exists() and not _length(file):
                part.unlink()


def _fetch_from(url: str, file: BinaryIO, *, sha256: str, size: int | None, attempts: int, pause: float, timeout: float,
                name: str) -> None:
    """Completes the file from one address.

    Raises:
        _GiveUp: when that address does not bring it.
    """
    furthest, idle, restarted = _length(file), 0, False
    while True:
        try:
            in_one_piece = _receive(url, file, size, timeout, name)
        except _Interrupted as error:
            length = _length(file)
            idle = 0 if length > furthest else idle + 1
            furthest = max(furthest, length)
            if idle >= attempts:
                raise _GiveUp(f'{error}, {attempts} times in a row') from error
            time.sleep(pause * 2 ** max(idle - 1, 0))
            continue
        file.seek(0)
        found, start = _digest(file), _beginning(file)
        if found.startswith(sha256):
            return
        file.truncate(0)
        if in_one_piece or restarted:
            raise _GiveUp(f'the content is another one: its sha256 begins with {found[:len(sha256)][:16]}, expected '
                          f'{sha256[:16]}{start}')
        furthest, idle, restarted = 0, 0, True  # pieces of two files, perhaps


def _receive(url: str, file: BinaryIO, size: int | None, timeout: float, name: str) -> bool:
    """One request for what is missing, appended to the file; whether that was all of it.

    Raises:
        _Interrupted: when it ended early.
        _GiveUp: when this address does not have the file.
    """
    have = _length(file)
    if size is not None and have >= size:
        return False  # the hash decides
    request = Request(url, headers={'User-Agent': 'udatools'} | ({'Range': f'bytes={have}-'} if have else {}))
    try:
        answer = urlopen(request, timeout=timeout)
    except HTTPError as error:
        error.close()
        if error.code == _NO_SUCH_RANGE and have:
            return False  # nothing is missing, or all of it is wrong: the hash decides
        said = f'HTTP {error.code} {error.reason}'
        raise (_Interrupted if error.code in _TRANSIENT or error.code >= 500 else _GiveUp)(said) from error
    except (OSError, HTTPException) as error:
        raise _Interrupted(_reason(error)) from error
    with answer:
        start, total = _extent(answer)
        if None not in (size, total) and total != size:
            raise _GiveUp(f'it has a file of {total} bytes, expected {size}')
        if start != have:
            file.truncate(0)
            if start:
                raise _Interrupted(f'it answered with another part than asked for, from byte {have} on')
        _append(answer, file, start, total or size, name)
        return start == 0


def _append(answer: HTTPResponse, file: BinaryIO, have: int, total: int | None, name: str) -> None:
    title = f'download {name}' + (f', from {have // _MIB} MiB on' if have else '')
    done = have
    with Progress(title, None if total is None else -(-(total - have) // _MIB), 'MiB') as progress:
        while total is None or done <= total:  # one byte too many is enough to know
            try:
                chunk = answer.read1(CHUNK)
            except (OSError, HTTPException) as error:
                raise _Interrupted(_reason(error)) from error
            if not chunk:
                break
            _write(file, chunk)
            done += len(chunk)
            progress.update((done - have) // _MIB if done != total else -(-(done - have) // _MIB))
    if total is not None and done < total:
        raise _Interrupted(f'the connection ended after {done} of {total} bytes')


def _extent(answer: HTTPResponse) -> tuple[int, int | None]:
    """First byte of what follows (-1: nobody knows), and length of the whole file where the server says it."""
    if answer.status == 206:
        unit, _, rest = (answer.headers.get('Content-Range') or '').partition(' ')
        span, _, whole = rest.partition('/')
        first = span.partition('-')[0]
        if unit == 'bytes' and first.isdigit():
            return int(first), int(whole) if whole.isdigit() else None
        return -1, None
    if answer.status != 200:
        raise _GiveUp(f'HTTP {answer.status} {answer.reason}')
    length = answer.headers.get('Content-Length') or ''
    return 0, int(length) if length.isdigit() else None


def _write(file: BinaryIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[file.write(rest):]
    except OSError as error:
        raise explain_write(Path(file.name), error) from error


def _length(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _beginning(file: BinaryIO) -> str:
    """A hint where a web page came in place of the file."""
    file.seek(0)
    return ' (it is a web page)' if file.read(64).lstrip()[:1] == b'<' else ''


def _reason(error: Exception) -> str:
    cause = getattr(error, 'reason', error)
    return f'{type(cause).__name__}: {cause}' if isinstance(cause, Exception) else str(cause)
