# SPDX-License-Identifier: Apache-2.0
"""The browser of the annotator's test: installed on CI machines only, and never needed."""
import os
import subprocess

import pytest

COMMANDS = ('bash', 'dirname', 'sed', 'tee', 'cat')


@pytest.fixture
def call(repo_root, tmp_path):
    """Function: run udatools_chromium where only some programs exist; gives (status, output, calls of apt-get)."""
    for name in COMMANDS:
        found = next(f'{folder}/{name}' for folder in os.environ['PATH'].split(':') if os.path.exists(f'{folder}/{name}'))
        (tmp_path / name).symlink_to(found)

    def run(programs=('apt-get',), user=0, apt=0, **env):
        for name in (*programs, 'id'):
            (tmp_path / name).write_text('#!/bin/bash\n' + (f'echo {user}' if name == 'id' else
                                                            f'echo "$*" >>{tmp_path}/calls\nexit {apt}') + '\n')
            (tmp_path / name).chmod(0o755)
        done = subprocess.run([str(tmp_path / 'bash'), '-euc', f'source "{repo_root}/tools/_env.sh"; udatools_chromium; echo on'],
                              env={'PATH': str(tmp_path), **env}, capture_output=True, text=True)
        calls = (tmp_path / 'calls').read_text().splitlines() if (tmp_path / 'calls').exists() else []
        return done.returncode, done.stdout, calls

    return run


def test_a_ci_machine_gets_it(call):
    status, output, calls = call(CI='true')
    assert status == 0 and 'installing chromium' in output and output.endswith('on\n')
    assert calls[0].startswith('update') and calls[1].startswith('install') and calls[1].endswith('chromium')


def test_a_failure_is_told_and_nothing_stops(call):
    status, output, _ = call(CI='true', apt=1)
    assert status == 0 and 'could not be installed' in output and output.endswith('on\n')


@pytest.mark.parametrize('options', [
    dict(), dict(CI='false'), dict(CI='true', UDATOOLS_CHROMIUM='/x'), dict(CI='true', user=1000), dict(CI='true', programs=()),
    dict(CI='true', programs=('apt-get', 'chromium')), dict(CI='true', programs=('apt-get', 'google-chrome')),
])
def test_all_other_machines_are_left_alone(call, options):
    status, output, calls = call(**options)
    assert (status, output, calls) == (0, 'on\n', [])
