# SPDX-License-Identifier: Apache-2.0
"""A ``python`` for shell commands that starts in no time: a process with everything imported forks for each of them.

Importing torch and mmseg takes seconds; a page of twenty commands would spend them twenty times. ``start()`` gives an
environment in which ``python SCRIPT ARGUMENTS`` runs the script in a fork: the same text, arguments, working directory,
streams, signals and exit status as with the real interpreter. ``python -c`` and ``-m`` are the real interpreter. A file that
``UDATOOLS_FORK_PRELUDE`` names runs in the fork before the script.
"""
import contextlib
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

PRELOADED = ('udatools', 'mmengine.runner', 'mmseg.models', 'mmseg.apis')
_CLIENT = """#!{python} -IS
import json, os, signal, socket, struct, sys
if len(sys.argv) < 2 or sys.argv[1].startswith('-'):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
content = json.dumps(dict(argv=sys.argv[1:], folder=os.getcwd(), environment=dict(os.environ))).encode()
socket.send_fds(server, [struct.pack('<I', len(content))], [0, 1, 2])
server.sendall(content)
pid, = struct.unpack('<i', server.recv(4, socket.MSG_WAITALL))
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(pid, number))
status, = struct.unpack('<i', server.recv(4, socket.MSG_WAITALL))
os._exit(status if status >= 0 else 128 - status)
"""


@contextlib.contextmanager
def start() -> Iterator[dict[str, str]]:
    """Run the server while the context lasts; gives the environment for the shell, with ``python`` in front of PATH."""
    with tempfile.TemporaryDirectory() as folder:  # a short path: those of sockets end at about 100 bytes
        with _server(Path(folder)):
            yield {**os.environ, 'PATH': f'{folder}{os.pathsep}{os.environ["PATH"]}'}


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[None]:
    address, client = folder / 'socket', folder / 'python'
    client.write_text(_CLIENT.format(python=sys.executable, address=str(address)), encoding='utf-8')
    client.chmod(0o755)
    server = subprocess.Popen([sys.executable, __file__, str(address)], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b'ready\n', 'the process that forks did not start'
        yield
    finally:
        server.kill()
        server.wait()


def serve(address: str) -> None:
    """Fork for every caller, for ever."""
    for name in PRELOADED:
        __import__(name)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that answer callers
    print('ready', flush=True)
    while True:
        caller, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(caller)
        caller.close()


def _answer(caller: socket.socket) -> None:
    """Run one command in a child, report its process id and then its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal; a suite in the background ignores it
    head, streams, _, _ = socket.recv_fds(caller, 4, 3)
    size, = struct.unpack('<I', head)
    command = json.loads(caller.recv(size, socket.MSG_WAITALL))
    pid = os.fork()
    if pid == 0:
        caller.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os._exit(_run(**command))
    caller.sendall(struct.pack('<i', pid))
    caller.sendall(struct.pack('<i', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    os._exit(0)


def _run(argv: list[str], folder: str, environment: dict[str, str]) -> int:
    """What ``python SCRIPT ARGUMENTS`` does; returns the exit status."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    sys.path.insert(0, str(Path(argv[0]).resolve().parent))
    try:
        if prelude := environment.get('UDATOOLS_FORK_PRELUDE'):
            runpy.run_path(prelude)
        runpy.run_path(argv[0], run_name='__main__')
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return status


if __name__ == '__main__':
    serve(sys.argv[1])
