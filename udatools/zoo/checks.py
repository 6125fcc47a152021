# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with the zoo and is not written by a script: configs without an entry, pages of methods, files.

Drift of what a script does write is found by comparing (:func:`udatools.zoo.pages.generated_files`).
"""
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from udatools.utils.download import file_digest
from udatools.zoo.catalogue import BUILT_IN
from udatools.zoo.figures import Figure, config_files
from udatools.zoo.metafiles import Metafile
from udatools.zoo.pages import CATALOGUE, Zoo

_HEADER = re.compile(r'^\| config \|(.*)\|\s*$', flags=re.MULTILINE)
_ROW = re.compile(r'^\| `(\w+)\.py`.*?\|(.*)\|\s*$', flags=re.MULTILINE)


def find_problems(zoo: Zoo) -> Iterator[str]:
    """One sentence for each thing that is wrong, and what to do."""
    listed = Counter(model['Config'] for metafile in zoo.metafiles for model in metafile.models)
    configs = {path.relative_to(zoo.root).as_posix() for path in config_files(zoo.root)}
    for config in sorted(configs - listed.keys()):
        yield f'{config} is in no metafile; add it to {Path(config).parent}/metafile.yml'
    for config in sorted(listed.keys() - configs):
        yield f'{config} is in a metafile and does not exist; take it out'
    for config in sorted(config for config, count in listed.items() if count > 1):
        yield f'{config} is in the metafiles twice; keep one'
    for metafile in zoo.metafiles:
        yield from _of_readme(metafile, zoo.figures, zoo.root)
    for entry in zoo.checkpoints:
        yield from _of_checkpoint(entry, zoo.root)


def _of_readme(metafile: Metafile, figures: Mapping[str, Figure], root: Path) -> Iterator[str]:
    """The tables of a method's page, which people write, against the records and the metafile."""
    page = metafile.path.with_name('README.md')
    where = page.relative_to(root)
    text = page.read_text(encoding='utf-8')
    rows = {name: [cell.strip() for cell in cells.split('|')] for name, cells in _ROW.findall(text)}
    header = _HEADER.search(text)
    titles = [title.strip() for title in header[1].split('|')] if header else []
    published = next((column for column, title in enumerate(titles) if title.startswith('published')), None)
    for model in metafile.models:
        name = model['Name']
        if name not in rows:
            yield f'{where} has no row of `{name}.py`; add one'
            continue
        *others, ours = rows[name]
        figure = figures.get(name)
        expected = _readme_figure(figure) if figure else None
        if expected and expected not in ours:
            yield f'{where} says {ours!r} of `{name}.py`; the records say {expected}'
        if not expected and re.search(r'\d', ours):
            yield f'{where} says {ours!r} of `{name}.py`, of which docs/records has nothing'
        if published is not None and re.match(r'\d', rows[name][published]) and not model.get('Published'):
            yield f'{where} has a published figure of `{name}.py`, {rows[name][published]!r}; add it to {metafile.path.name}'
        said = set(map(float, re.findall(r'\d+\.\d+', ' '.join(others))))
        for value in (value for entry in model.get('Published', []) for value in entry['Metrics'].values()):
            if value not in said:
                yield f'{where} does not name the published {value} of `{name}.py`, which the metafile has'


def _readme_figure(figure: Figure) -> str:
    if figure.vpqs is not None:
        return f'{figure.miou:.1f} / {figure.vpqs:.1f}'
    return f'{figure.miou:.1f}' + ('' if figure.std is None else f' ± {figure.std:.1f}')


def _of_checkpoint(entry: Mapping[str, Any], root: Path) -> Iterator[str]:
    """A file that comes with the package, against its entry; one that does not needs an address."""
    path = (root / CATALOGUE).parent / BUILT_IN.name / entry['file']
    if not re.fullmatch(r'[0-9a-f]{64}', entry['sha256']) or f'-{entry["sha256"][:8]}.' not in entry['file']:
        yield f'{CATALOGUE}: the name {entry["file"]} does not carry the first eight digits of sha256 {entry["sha256"]}'
    if path.is_file():
        if file_digest(path) != entry['sha256'] or path.stat().st_size != entry['bytes']:
            yield f'{path.relative_to(root)} is not the file that {CATALOGUE} describes; publish it again'
    elif not entry['urls']:
        yield f'{CATALOGUE}: {entry["name"]} has no address, and {entry["file"]} is not in the package'
