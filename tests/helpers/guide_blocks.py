# SPDX-License-Identifier: Apache-2.0
"""The code blocks of the documentation, and what the comments before them say about running them.

An HTML comment directly before a block, which no reader of the page sees, is the only way not to run it as it stands:

- ``<!-- not run: REASON -->``: its commands cannot be run by a test. They are still parsed.
- ``<!-- not run, `WORDS`: REASON -->``: the same of the commands that hold these words; the others run. May stand twice.
- ``<!-- run by tests/docs/test_x.py -->``: another test runs it, one that reads this page. First line of a page: all its blocks.
- ``<!-- added to configs/x/y.py -->``: a part of a config; it is added to that one, which is trained.
"""
import re
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
PAGES = sorted(path for pattern in ('*.md', 'docs/*.md', 'configs/*/*.md', 'tools/*/*.md') for path in REPO.glob(pattern))
EXECUTED = ('bash', 'python')
# No command of a page hides in a block of a language that nobody runs.
SHOWN = ('', 'json', 'bibtex', 'yaml', 'text')
_FENCE = re.compile(r'^(`{3,})(\S*)\n(.*?)^\1$', flags=re.MULTILINE | re.DOTALL)
_COMMENTS = re.compile(r'((?:<!--.*?-->\s*)*)\Z', flags=re.DOTALL)
_NOT_RUN = re.compile(r'<!-- not run(?:, `([^`]+)`)?: (.+?) -->', flags=re.DOTALL)
_RUN_BY = re.compile(r'<!-- run by (\S+) -->')
_ADDED_TO = re.compile(r'<!-- added to (\S+) -->')
_SAVE = re.compile(r'[Ss]ave (?:this|it)[^`]* as\s+`([\w.]+)`')


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        page (Path): where it stands.
        line (int): of its fence, from 1.
        language (str): as the fence says; may be empty.
        code (str): what is inside.
        not_run (tuple[tuple[str, str], ...]): words of commands ('' = all of them), and why they are not run.
        run_by (str): test that runs it, or ''.
        added_to (str): config that it is added to, or ''.
        save_as (str): file name that the text before it gives it, or ''.
    """

    page: Path
    line: int
    language: str
    code: str
    not_run: tuple[tuple[str, str], ...] = ()
    run_by: str = ''
    added_to: str = ''
    save_as: str = ''

    def __str__(self) -> str:
        return f'{self.page.relative_to(REPO).as_posix()}:{self.line}'

    def commands(self) -> list[str]:
        """Logical lines of a shell block, without comments and empty ones."""
        joined = re.sub(r'[ ]*\\\n[ ]*', ' ', self.code)
        return [line.strip() for line in re.sub(r'(^|[ ]+)#.*$', '', joined, flags=re.MULTILINE).splitlines() if line.strip()]

    def is_exempt(self, command: str) -> bool:
        """Whether a command of the block is not run."""
        return any(words in command for words, _ in self.not_run)


def blocks_of(page: Path, text: str | None = None) -> list[Block]:
    """Every fenced block of a page, in its order.

    Args:
        page (Path): Markdown file.
        text (str, optional): its content, if it is not to be read.
    """
    text = page.read_text(encoding='utf-8') if text is None else text
    whole = _RUN_BY.match(text)
    blocks, end = [], 0
    for fence in _FENCE.finditer(text):
        before, end = text[end:fence.start()], fence.end()
        comments = _COMMENTS.search(before)[1]
        not_run = tuple((words or '', ' '.join(reason.split())) for words, reason in _NOT_RUN.findall(comments))
        run_by = _RUN_BY.search(comments) or whole
        added_to = _ADDED_TO.search(comments)
        names = _SAVE.findall(before)
        blocks.append(Block(page, text.count('\n', 0, fence.start()) + 1, fence[2], fence[3], not_run,
                            run_by=run_by[1] if run_by else '', added_to=added_to[1] if added_to else '',
                            save_as=names[-1] if names and fence[2] == 'python' else ''))
    return blocks


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub('', page.read_text(encoding='utf-8'))
