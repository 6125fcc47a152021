# SPDX-License-Identifier: Apache-2.0
"""One way to run a tool: its exit status, what is said, and that the process group is left, whatever happens."""
import argparse

import pytest

from udatools.engine import command_line
from udatools.engine.command_line import add_config_options, parse_with_launcher, run_tool
from udatools.engine.runner.journal import JournalError


@pytest.fixture
def left(monkeypatch):
    """How the process group was left, in order."""
    calls = []
    monkeypatch.setattr(command_line, 'leave_distributed', lambda *, failed=False: calls.append(failed))
    return calls


@pytest.mark.parametrize('status', [None, 0, 3])
def test_the_status_of_the_work_is_the_status_of_the_tool(left, status):
    assert run_tool(lambda: status) == (status or 0)
    assert left == [False]


def refuse(error):
    raise error


@pytest.mark.parametrize(('error', 'traceback'), [(JournalError('train it first'), False), (ZeroDivisionError('by zero'), True)])
def test_an_error_is_said_and_only_an_unexpected_one_has_a_traceback(left, capsys, error, traceback):
    assert run_tool(lambda: refuse(error)) == 1
    said = capsys.readouterr().err
    assert said.endswith(f'error: {error}\n') and ('Traceback' in said) == traceback
    assert left == [True]


def test_ctrl_c_says_how_to_go_on(left, capsys):
    assert run_tool(lambda: refuse(KeyboardInterrupt()), stopped='the same command goes on') == 130
    assert capsys.readouterr().err == '\nthe same command goes on\n' and left == [True]


def test_options_of_several_processes(monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '5')
    monkeypatch.delenv('LOCAL_RANK')
    parser = argparse.ArgumentParser()
    add_config_options(parser)
    args = parse_with_launcher(parser, ['--cfg-options', 'a.b=1', 'c=x', '--launcher', 'pytorch', '--local-rank', '2'])
    assert args.cfg_options == {'a.b': 1, 'c': 'x'} and args.launcher == 'pytorch'
    assert command_line.os.environ['LOCAL_RANK'] == '2'
    parse_with_launcher(argparse.ArgumentParser(), ['--local-rank', '3'])
    assert command_line.os.environ['LOCAL_RANK'] == '2'  # what a launcher has set stays
