# SPDX-License-Identifier: Apache-2.0
"""The sidebar: `docs/index.md` read as a table of contents, so that one page serves readers on GitHub and on the site.

A heading of the second level is a group, the Markdown pages that it links to are its entries, under the words of the links.
Pages that exist but are not named join the group whose pattern they match, in alphabetical order, and are listed below its
heading: a new page in docs/ or a new method needs no edit.
"""
import posixpath
import re
from fnmatch import fnmatchcase

INDEX = 'docs/index'
LINK = re.compile(r'\[([^\]]+)\]\(([^)#\s]+)\.md\)')


def add(app, page: str, source: list[str], joining: dict[str, str]) -> None:
    """Adds tables of contents to the page that Sphinx is about to read, if it is the index.

    Args:
        app (Sphinx): the application.
        page (str): its name, such as ``docs/video``; only ``docs/index`` is changed.
        source (list[str]): its text, as the only item; changed in place.
        joining (dict[str, str]): pattern of the names of pages that join a group by themselves, by its heading.
    """
    if page == INDEX:
        source[0] = with_contents(source[0], app.env.found_docs, joining)


def with_contents(text: str, found: set[str], joining: dict[str, str]) -> str:
    """The index with a hidden table of contents and a list of the pages that joined at the end of each group.

    Args:
        text (str): of the index.
        found (set[str]): names of all pages.
        joining (dict[str, str]): as :func:`add`.

    Raises:
        ValueError: for a heading in ``joining`` that the index does not have.
    """
    head, *parts = re.split(r'^## ', text, flags=re.MULTILINE)
    headings = [part.partition('\n')[0].strip() for part in parts]
    if unknown := joining.keys() - set(headings):
        raise ValueError(f'{INDEX}.md has no heading "## {sorted(unknown)[0]}" for the pages {joining[sorted(unknown)[0]]}; '
                         'add it, or change JOINING in docs/conf.py')
    linked = [{_resolve(path): words for words, path in reversed(LINK.findall(part))} for part in parts]
    named = {INDEX}.union(*linked)
    for heading, part, entries in zip(headings, parts, linked):
        pattern = joining.get(heading, '')
        joined = sorted(name for name in found - named if _fits(name, pattern))
        named.update(joined)
        contents = [f'{words} </{name}>' for name, words in reversed(entries.items())] + [f'/{name}' for name in joined]
        head += f'## {part.rstrip()}\n\n' + ''.join(f'- [](/{name})\n' for name in joined)
        if contents:
            head += f'\n```{{toctree}}\n:hidden:\n:caption: {heading}\n\n' + '\n'.join(contents) + '\n```\n\n'
    return head


def _resolve(path: str) -> str:
    """Name of the page that a link of the index leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(INDEX), path))


def _fits(name: str, pattern: str) -> bool:
    """Whether a name matches; a star does not reach over a slash."""
    return name.count('/') == pattern.count('/') and fnmatchcase(name, pattern)
