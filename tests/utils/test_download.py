# SPDX-License-Identifier: Apache-2.0
"""Downloads from servers that drop connections, ignore ranges, send other bytes or nothing."""
import errno
import fcntl
import hashlib
from pathlib import Path

import pytest
from broken_server import serve

from udatools.utils import download
from udatools.utils.download import DownloadError, fetch_file, file_digest

CONTENT = bytes(range(256)) * 400  # 102,400 bytes
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with serve(CONTENT) as served:
        yield served


@pytest.fixture
def fetch(tmp_path, server):
    def run(*troubles, sha256=SHA, **options):
        options = dict(pause=0.0, timeout=2.0) | options
        return fetch_file([server.address(trouble) for trouble in troubles], tmp_path / 'sub' / 'f.bin', sha256=sha256, **options)
    return run


def left(tmp_path):
    return sorted(path.name for path in (tmp_path / 'sub').iterdir())


def starts(server):
    return [start for _, start in server.asked]


@pytest.mark.parametrize('size', [None, len(CONTENT)])
def test_a_good_server_is_asked_once(fetch, server, tmp_path, size):
    path = fetch('', size=size)
    assert path.read_bytes() == CONTENT and starts(server) == [0] and left(tmp_path) == ['f.bin']
    assert file_digest(path) == SHA
    fetch('', size=size)
    assert len(server.asked) == 1  # it is there


def test_dropped_connections_are_taken_up(fetch, server, tmp_path):
    assert fetch('drop').read_bytes() == CONTENT
    assert starts(server) == [0, 30_000, 60_000, 90_000] and left(tmp_path) == ['f.bin']


def test_a_server_that_stalls_is_left_and_taken_up(fetch, server):
    assert fetch('stall', timeout=0.3).read_bytes() == CONTENT
    assert starts(server)[0] == 0 and starts(server)[1] == 10_000


def test_no_range_starts_over(fetch, server):
    assert fetch('ignore/drop-once').read_bytes() == CONTENT
    assert starts(server) == [0, 30_000]  # asked from there, answered from the beginning


def test_another_run_goes_on(fetch, server, tmp_path):
    with pytest.raises(DownloadError, match=r'ended after 30000 of 102400 bytes, 3 times in a row.*30000 bytes wait'):
        fetch('ignore/drop')  # at the same byte each time
    assert starts(server) == [0, 30_000, 30_000, 30_000]
    part, = left(tmp_path)
    assert part == f'.f.bin.{SHA[:16]}.part' and (tmp_path / 'sub' / part).read_bytes() == CONTENT[:30_000]
    server.asked.clear()
    assert fetch('').read_bytes() == CONTENT
    assert starts(server) == [30_000] and left(tmp_path) == ['f.bin']


def test_another_mirror_goes_on(fetch, server):
    assert fetch('gone', 'ignore/drop', '').read_bytes() == CONTENT
    assert server.asked[0] == ('/gone', 0) and server.asked[-1] == ('/', 30_000)


def test_a_missing_file_is_not_asked_for_twice_and_a_busy_server_is(fetch, server, tmp_path):
    with pytest.raises(DownloadError, match=r'f.bin could not be fetched \(http://127.0.0.1:\d+/gone: HTTP 404 Not Found\)\.$'):
        fetch('gone')
    assert len(server.asked) == 1 and left(tmp_path) == []
    server.asked.clear()
    assert fetch('busy').read_bytes() == CONTENT and len(server.asked) == 3


@pytest.mark.parametrize(('trouble', 'options', 'reason'), [
    ('corrupt', {}, r'the content is another one: its sha256 begins with [0-9a-f]{16}, expected ' + SHA[:16]),
    ('page', {}, 'the content is another one: .*web page'),
    ('page', dict(size=len(CONTENT)), 'it has a file of 20 bytes, expected 102400'),
    ('longer', dict(size=len(CONTENT)), 'it has a file of 102404 bytes, expected 102400'),
    ('longer/unsized', dict(size=len(CONTENT)), 'the content is another one')])
def test_other_bytes_are_refused_and_leave_nothing(fetch, server, tmp_path, trouble, options, reason):
    with pytest.raises(DownloadError, match=reason):
        fetch(trouble, **options)
    assert left(tmp_path) == [] and len(server.asked) == 1
    assert fetch(trouble, '', **options).read_bytes() == CONTENT


def test_bytes_of_two_files_start_over_once(fetch, server, tmp_path):
    part = tmp_path / 'sub' / f'.f.bin.{SHA[:16]}.part'
    part.parent.mkdir()
    part.write_bytes(b'?' * 500)
    assert fetch('').read_bytes() == CONTENT and starts(server) == [500, 0]
    (tmp_path / 'sub' / 'f.bin').unlink()
    part.write_bytes(b'?' * 500)
    server.asked.clear()
    with pytest.raises(DownloadError, match='another one'):
        fetch('corrupt')
    assert starts(server) == [500, 0]


@pytest.mark.parametrize('extra', [0, 7])
@pytest.mark.parametrize('size', [None, len(CONTENT)])
def test_a_part_that_is_complete_or_too_long(fetch, server, tmp_path, extra, size):
    part = tmp_path / 'sub' / f'.f.bin.{SHA[:16]}.part'
    part.parent.mkdir()
    part.write_bytes(CONTENT + b'?' * extra)
    assert fetch('', size=size).read_bytes() == CONTENT
    unknown = [len(CONTENT) + extra] if size is None else []  # the server is asked, and has no more
    assert starts(server) == unknown + ([0] if extra else [])


@pytest.mark.parametrize('trouble', ['drop-once/shifted', 'drop-once/silent'])
def test_a_wrong_part_is_not_appended(fetch, server, trouble):
    assert fetch(trouble).read_bytes() == CONTENT
    assert starts(server) == [0, 30_000, 0]


def test_a_wrong_file_is_replaced_and_a_short_hash_is_enough(fetch, server, tmp_path):
    target = tmp_path / 'sub' / 'f.bin'
    target.parent.mkdir()
    target.write_bytes(b'old')
    assert fetch('', sha256=SHA[:8]).read_bytes() == CONTENT
    target.write_bytes(b'old')
    with pytest.raises(DownloadError):
        fetch('corrupt')
    assert target.read_bytes() == b'old'


def test_no_server_and_no_address(fetch, tmp_path):
    with pytest.raises(DownloadError, match='http://127.0.0.1:9/f: ConnectionRefusedError: .*3 times in a row'):
        fetch_file(['http://127.0.0.1:9/f'], tmp_path / 'f', sha256=SHA, pause=0.0)
    with pytest.raises(DownloadError, match='there is no address to ask'):
        fetch_file([], tmp_path / 'f', sha256=SHA)
    with pytest.raises(DownloadError, match='file:///etc/hosts is no http or https address.*--offline'):
        fetch_file(['file:///etc/hosts'], tmp_path / 'f', sha256=SHA)


def test_attempts_wait_longer_each_time(fetch, server, monkeypatch):
    waited = []
    monkeypatch.setattr(download.time, 'sleep', waited.append)
    with pytest.raises(DownloadError):
        fetch('ignore/drop', pause=0.5)
    assert waited == [0.5, 0.5, 1.0]  # the first attempt brought bytes, two more that brought none, and the last ends it


def test_another_process_is_left_alone(fetch, server, tmp_path):
    part = tmp_path / 'sub' / f'.f.bin.{SHA[:16]}.part'
    part.parent.mkdir()
    with open(part, 'wb') as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match='another process is fetching'):
            fetch('')
    assert server.asked == []
    assert fetch('').read_bytes() == CONTENT


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / 'sub').write_text('a file')
    with pytest.raises(OSError, match='cannot write .*f.bin: .*not a folder'):
        fetch_file(['http://127.0.0.1:9/f'], tmp_path / 'sub' / 'f.bin', sha256=SHA)


def test_a_full_disk_is_said_and_keeps_what_fits(fetch, server, tmp_path, monkeypatch):
    class Full:
        """A file with room for 40 kB."""

        def __init__(self, file):
            self.file, self.name = file, file.name

        def write(self, data):
            if self.file.tell() >= 40_000:
                raise OSError(errno.ENOSPC, 'No space left on device')
            return self.file.write(data[:40_000 - self.file.tell()])

    write = download._write
    monkeypatch.setattr(download, '_write', lambda file, chunk: write(Full(file), chunk))
    with pytest.raises(OSError, match='cannot write .*: No space left on device; the disk is full') as caught:
        fetch('')
    assert caught.value.errno == errno.ENOSPC
    part, = left(tmp_path)
    assert (Path(tmp_path) / 'sub' / part).read_bytes() == CONTENT[:40_000]
    monkeypatch.setattr(download, '_write', write)
    server.asked.clear()
    assert fetch('').read_bytes() == CONTENT and starts(server) == [40_000]
