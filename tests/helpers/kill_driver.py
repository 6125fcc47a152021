# SPDX-License-Identifier: Apache-2.0
"""Runs a config over and over in forked processes that kill themselves (SIGKILL) at a chosen event.

``python kill_driver.py PLAN.json OUTCOME.json``: the plan is a list of ``{config, work_dir, kills}``. Every kill is
``{'match': regex, 'skip': n}`` (at the n+1-th event whose name matches), ``{'after': seconds}`` (from outside, by the
clock) or None (run to the end). All but the first process of a work directory resume. With ``{tool, arguments}`` in place
of the config it is a script below ``tools/`` that runs, each time with the same arguments, and ``work_dir`` is the folder that
events are named relative to. Forking saves the seconds that importing torch and mmseg takes; the killed process is a real
one all the same.
"""
import importlib.util
import json
import os
import re
import signal
import sqlite3
import sys
import time
from pathlib import Path

os.environ['OMP_NUM_THREADS'] = '1'
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmengine.runner import IterBasedTrainLoop  # noqa: E402

import udatools  # noqa: E402, F401
from udatools.engine.cli import build_config  # noqa: E402
from udatools.engine.command_line import explain_error  # noqa: E402
from udatools.engine.runner import StagedRunner  # noqa: E402


class Injector:
    """Names events, counts those that match, and kills the process at the chosen one."""

    def __init__(self, work_dir, kill, log):
        self.root, self.log = Path(work_dir).resolve(), log
        self.match, self.left = (re.compile(kill['match']), kill['skip']) if kill and 'match' in kill else (None, 0)

    def __call__(self, kind, path='', fd=None):
        name = f'{kind}:{os.path.relpath(path, self.root) if path else ""}'
        self.log.write(name + '\n')
        if self.match is None or not self.match.search(name):
            return
        if self.left:
            self.left -= 1
            return
        if fd is not None:  # half of the file is on disk
            os.ftruncate(fd, os.fstat(fd).st_size // 2)
        self.log.write('KILLED\n')
        self.log.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def install(event):
    """Puts events around what changes the disk, and around training iterations."""
    replace, fsync, unlink, run_iter = os.replace, os.fsync, os.unlink, IterBasedTrainLoop.run_iter

    def spied_replace(source, target, **kwargs):
        event('replace', target)
        replace(source, target, **kwargs)
        event('replaced', target)

    def spied_fsync(fd):
        path = os.readlink(f'/proc/self/fd/{fd}')
        if os.path.isfile(path):
            event('fsync', path, fd=fd)
        fsync(fd)

    def spied_unlink(path, **kwargs):
        event('unlink', os.fspath(path))
        unlink(path, **kwargs)

    def spied_run_iter(self, data_batch):
        event('iter')
        run_iter(self, data_batch)
        event('iterated')

    class SpiedConnection(sqlite3.Connection):

        def execute(self, statement, *args):
            event(f'sql before {statement.split()[0]}')
            result = super().execute(statement, *args)
            event(f'sql after {statement.split()[0]}')
            return result

    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **kwargs: connect(*args, factory=SpiedConnection, **kwargs)
    os.replace, os.fsync, IterBasedTrainLoop.run_iter = spied_replace, spied_fsync, spied_run_iter
    os.unlink = os.remove = spied_unlink


def train(config, work_dir, resume):
    """As tools/train.py."""
    try:
        StagedRunner.from_cfg(build_config(config, work_dir=work_dir, resume='auto' if resume else None)).train()
    except Exception as error:
        return explain_error(error)
    return 0


def call_tool(name, arguments):
    """As ``python tools/NAME.py ARGUMENTS``."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).resolve().parents[2] / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main(arguments)


def child(run, kill, resume, log_path):
    """What the forked process does, with events."""
    with open(log_path, 'w', encoding='utf-8') as log:
        output = os.open(f'{log_path}.console', os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        install(Injector(run['work_dir'], kill, log))
        if 'tool' in run:
            return call_tool(run['tool'], run['arguments'])
        return train(run['config'], run['work_dir'], resume)


def main(plan_path, outcome_path):
    outcome = []
    for run in json.loads(Path(plan_path).read_text()):
        for number, kill in enumerate(run['kills']):
            log = f'{run["work_dir"]}.{number:02d}.log'
            Path(log).parent.mkdir(parents=True, exist_ok=True)
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                os._exit(child(run, kill, number > 0, log))
            if kill and 'after' in kill:
                time.sleep(kill['after'])
                os.kill(pid, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            outcome.append(dict(work_dir=run['work_dir'], kill=kill, status=status, log=log))
    Path(outcome_path).write_text(json.dumps(outcome))


if __name__ == '__main__':
    main(*sys.argv[1:])
