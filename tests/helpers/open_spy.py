# SPDX-License-Identifier: Apache-2.0
"""Trains a config while every file that the process opens is written down: ``python open_spy.py CONFIG WORK_DIR LOG``.

An audit hook sees what goes through the interpreter (``open``, ``os.open``, ``io.open``, pathlib, sqlite), and cannot be
taken off. OpenCV, numpy's C readers and libraries of their own open files behind its back, so the calls that can do that
are watched as well. A line of the log is what was opened, and whether the oracle was asking for it.
"""
import json
import os
import sys
from pathlib import Path

os.environ['OMP_NUM_THREADS'] = '1'
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2  # noqa: E402

import udatools  # noqa: E402, F401
from udatools.active.annotators import GroundTruthOracle  # noqa: E402
from udatools.engine.cli import build_config  # noqa: E402
from udatools.engine.runner import StagedRunner  # noqa: E402

EVENTS = {'open', 'os.listdir', 'os.scandir', 'sqlite3.connect', 'shutil.copyfile'}
opened = []
state = {'oracle': None}  # key of the image that the oracle looks up


def note(path):
    if isinstance(path, (str, os.PathLike, bytes)):
        opened.append((os.fsdecode(path), state['oracle']))


def audit(event, arguments):
    if event in EVENTS and arguments:
        note(arguments[0])


def watch(module, name):
    original = getattr(module, name)

    def spied(path, *args, **kwargs):
        note(path)
        return original(path, *args, **kwargs)

    setattr(module, name, spied)


def main(config, work_dir, log):
    sys.addaudithook(audit)
    watch(cv2, 'imread')
    watch(cv2, 'imreadmulti')
    truth = GroundTruthOracle._truth

    def asked(self, key, *args):
        state['oracle'] = key
        try:
            return truth(self, key, *args)
        finally:
            state['oracle'] = None

    GroundTruthOracle._truth = asked
    StagedRunner.from_cfg(build_config(config, work_dir=work_dir)).train()
    Path(log).write_text(json.dumps(list(opened)))


if __name__ == '__main__':
    main(*sys.argv[1:])
