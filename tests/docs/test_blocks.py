# SPDX-License-Identifier: Apache-2.0
"""Every shell and Python block of the documentation runs, at a reduced size, or says why not.

Each page is followed from top to bottom in a folder of its own (`guide_yard`). What a page keeps from running is listed by
`test_what_is_not_run_is_right_all_the_same`, a case a block.
"""
import argparse
import importlib.util
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from guide_blocks import EXECUTED, PAGES, REPO, SHOWN, Block, blocks_of
from guide_yard import REDUCED, TRAINED_ELSEWHERE, Yard, reduce
from shrink import CONFIGS

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
TYPED = {page: [b for b in blocks_of(page) if b.language in EXECUTED and not b.run_by and ('' not in dict(b.not_run))]
         for page in PAGES}
LEFT_OUT = [block for block in BLOCKS if block.not_run]
RUN_BY = [block for block in BLOCKS if block.run_by and block.language in EXECUTED]


@pytest.fixture(scope='module')
def stock(shell_environment, tiny_data, tmp_path_factory):
    for module in ('flask', 'waitress'):
        pytest.importorskip(module, reason=f'the annotator page needs {module}; install requirements/test.txt')
    return Yard.stock(tmp_path_factory.mktemp('stock'), shell_environment, tiny_data)


@pytest.mark.slow
@pytest.mark.parametrize('page', [page for page, blocks in TYPED.items() if blocks],
                         ids=lambda page: page.relative_to(REPO).as_posix())
def test_the_blocks_of_a_page_run_one_after_another(page, stock, tmp_path):
    yard = stock.copy(tmp_path, page.read_text(encoding='utf-8'))
    for block in TYPED[page]:
        try:
            yard.type(block)
        except AssertionError as error:
            pytest.fail(f'{block}: {error}', pytrace=False)


@pytest.mark.parametrize('block', LEFT_OUT, ids=str)
def test_what_is_not_run_is_right_all_the_same(block, monkeypatch):
    for words, reason in block.not_run:
        assert len(reason.split()) >= 3, f'{block}: "{reason}" is no reason'
        assert words in block.code, f'{block}: no command holds `{words}`'
    assert block.language == 'bash', f'{block}: {block.language} can always run'
    for command in filter(block.is_exempt, block.commands()):
        check_command(command, monkeypatch)


@pytest.mark.parametrize('block', RUN_BY, ids=str)
def test_what_another_test_runs_is_read_there(block):
    text = (REPO / block.run_by).read_text(encoding='utf-8')
    assert f"'{block.page.name}'" in text or f"/{block.page.name}'" in text, f'{block}: {block.run_by} does not read the page'


def test_every_block_is_one_that_somebody_runs_or_one_to_look_at():
    for block in BLOCKS:
        assert block.language in (*EXECUTED, *SHOWN), f'{block}: `{block.language}`; commands are `bash`, code is `python`'
        if block.language not in EXECUTED:
            hidden = re.search(r'^\$ |^(python|bash|pip|torchrun|git) ', block.code, flags=re.MULTILINE)
            assert not hidden, f'{block}: commands in a block that nobody runs; call it bash'
    assert sum(map(len, TYPED.values())) > 40


def test_what_is_saved_is_used():
    for blocks in TYPED.values():
        for number, block in enumerate(blocks):
            if block.save_as:
                stem = Path(block.save_as).stem
                assert any(re.search(rf'\b{stem}\b', other.code) for other in blocks[number + 1:]), f'{block}: {stem} is not used'


class _Parsed(BaseException):
    """The command line was accepted."""


def check_command(command, monkeypatch):
    """A command names things that exist and options that its tool has; it is not run."""
    listed = subprocess.run(['bash', '-c', f'shopt -s nullglob; printf "%s\\0" {strip(command)}'], cwd=REPO, capture_output=True,
                            text=True, check=True).stdout
    words = listed.split('\0')[:-1]
    for word in words:
        if re.fullmatch(r'configs/.*\.py', word):
            assert REPO / word in CONFIGS, f'{word} does not exist'
    if words[0] == 'python':
        parse(words[1:], monkeypatch)
    elif words[0] == 'bash':
        assert subprocess.run(['bash', '-n', words[1]], cwd=REPO, check=False).returncode == 0, command
    elif words[:2] == ['pip', 'install']:
        check_requirement(words[2:])
    elif words[:2] == ['git', 'clone']:
        assert words[-1] == 'udatools'
    else:
        assert words[0] == 'cd', f'no way to check {command}'


def strip(command):
    """The command with `<placeholders>` as words, on one process."""
    for pattern, replacement in REDUCED[:2]:
        command = re.sub(pattern, replacement, command)
    return re.sub(r'<([^<>]+)>', lambda found: shlex.quote(found[1]), command)


def parse(words, monkeypatch):
    """Let the parser of a tool read the words."""
    accept = argparse.ArgumentParser.parse_args

    def parse_args(self, *args, **kwargs):
        accept(self, *args, **kwargs)
        raise _Parsed

    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', parse_args)
    monkeypatch.setattr(sys, 'argv', words)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    with pytest.raises(_Parsed):
        runpy.run_path(str(REPO / words[0]), run_name='__main__')


def check_requirement(words):
    """pip is given a file of the repository, the repository, or an extra that it has."""
    for word in words:
        if word.startswith('udatools['):
            assert re.search(rf"'{word[9:-1]}': \[", (REPO / 'setup.py').read_text(encoding='utf-8')), word
        elif not word.startswith('-'):
            assert (REPO / word).exists(), word


# The mechanism itself.

PAGE = """# A page

<!-- not run: needs a
cluster -->

```bash
python tools/train.py a.py \\
    --amp  # a comment
```

<!-- not run, `--amp`: needs a GPU -->
<!-- not run, `pip`: installs packages -->
```bash
pip install x
python tools/train.py a.py
bash tools/dist_train.sh a.py 4 --amp
```

Save it in the root of the clone as `mine.py`:

```python
x = 1
```

<!-- added to configs/fda/fda_minidrive.py -->
```python
y = 2
```

<!-- a remark -->
```python
z = 3
```
"""


def test_comments_belong_to_the_block_that_follows():
    whole, part, saved, added, plain = blocks_of(REPO / 'page.md', PAGE)
    assert [block.line for block in (whole, part, saved, added, plain)] == [6, 13, 21, 26, 31]
    assert whole.not_run == (('', 'needs a cluster'), ) and whole.commands() == ['python tools/train.py a.py --amp']
    assert [part.is_exempt(command) for command in part.commands()] == [True, False, True] and dict(part.not_run)['pip']
    assert (saved.save_as, saved.added_to) == ('mine.py', '') and (added.added_to, added.save_as) == (
        'configs/fda/fda_minidrive.py', '')
    assert (plain.not_run, plain.run_by, plain.added_to, plain.save_as) == ((), '', '', '')
    assert {block.run_by for block in blocks_of(REPO / 'page.md', f'<!-- run by tests/x.py -->\n{PAGE}')} == {'tests/x.py'}


def test_reductions():
    assert reduce('bash tools/dist_train.sh configs/a.py 4 --amp') == 'python tools/train.py configs/a.py'
    assert reduce('torchrun --nproc_per_node 4 tools/compute_flow.py CONFIG --launcher pytorch') == (
        'python tools/compute_flow.py RUN.py')
    assert reduce('python a.py \\\n    --nproc 8   # all') == 'python a.py --nproc 1'
    rules = REDUCED + TRAINED_ELSEWHERE
    assert reduce('bash tools/dist_train.sh configs/a.py 2', rules) == 'python tools/train.py configs/a.py --dry-run'
    assert reduce('python tools/train.py configs/a.py --dry-run', rules) == 'python tools/train.py configs/a.py --dry-run'
    assert reduce('python tools/train.py mine.py', rules) == 'python tools/train.py mine.py'


@pytest.mark.parametrize('command, message', [
    ('python tools/train.py configs/labor/no_such.py', 'no_such.py does not exist'),
    ('python tools/train.py configs/labor/spl_gta2cs.py --no-such-option', '2'),
    ('python tools/no_such.py', 'no_such'), ('bash tools/no_such.sh', 'no_such'), ("pip install 'udatools[no_such]'", 'no_such'),
    ('pip install -r requirements/no_such.txt', 'no_such'), ('curl x', 'no way to check')])
def test_a_command_that_is_wrong_is_found_without_running_it(command, message, monkeypatch):
    with pytest.raises((AssertionError, SystemExit, FileNotFoundError), match=message):
        check_command(command, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize('language, code, message', [
    ('bash', 'python tools/train.py configs/fda/fda_minidrive.py --no-such-option', 'unrecognized arguments'),
    ('bash', 'python tools/train.py configs/fda/no_such.py', 'no_such.py does not exist'),
    ('bash', 'false\ntrue', 'exit status 1'), ('python', 'from udatools import no_such', 'no_such'),
    ('python', 'raise SystemExit(3)', 'exit status 3')])
def test_a_block_that_does_not_run_is_found(language, code, message, stock, tmp_path):
    with pytest.raises(AssertionError, match=message):
        stock.copy(tmp_path).type(Block(REPO / 'README.md', 1, language, code))


@pytest.mark.skipif(importlib.util.find_spec('flask') is None, reason='the annotator page needs flask')
@pytest.mark.slow
def test_a_fragment_of_a_config_is_trained(stock, tmp_path):
    yard = stock.copy(tmp_path)
    yard.type(Block(REPO / 'docs/x.md', 7, 'python', 'iters = dict(train=3)\n', added_to='configs/fda/fda_minidrive.py'))
    assert (yard.root / 'work_dirs/block_7/final/model.pth').is_file()
    with pytest.raises(AssertionError, match='NoSuchObjective'):
        yard.type(Block(REPO / 'docs/x.md', 9, 'python', "model = dict(objectives=[dict(type='NoSuchObjective')])\n",
                        added_to='configs/fda/fda_minidrive.py'))
