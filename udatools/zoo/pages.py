# SPDX-License-Identifier: Apache-2.0
"""What ``tools/model_zoo.py`` writes: metafiles, ``docs/model_zoo.md``, ``model-index.yml``, and the figures of the catalogue.

Every text is a function of the metafiles, the records and the catalogue, so that a check is a comparison.
"""
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from udatools.zoo.figures import Figure, own_figures
from udatools.zoo.metafiles import Metafile, metafile_text, read_metafiles, to_yaml

PAGE, INDEX, CATALOGUE = 'docs/model_zoo.md', 'model-index.yml', 'udatools/zoo/checkpoints.json'
_NOTE = '†'
_WIDTH = 110  # of commands
_INTRODUCTION = f"""# Model zoo

<!-- Written by tools/model_zoo.py; edit configs/*/metafile.yml and docs/records, then run it. -->

All configs, by method. **Published** figures are those of the source that is named, on its own network, weights and code.
**Ours** are means and sample standard deviations over the seeds, of the last checkpoint unless a criterion is named, from
`docs/records` ([how they were measured](results.md)); "commit" is that of the code at the end of each run, and the command below
a table trains its rows again. IoU and VPQ^s in percent; figures of different data, protocols or networks do not compare.
{_NOTE}: measured before the config was changed, and due again.
"""
_CHECKPOINTS = """## Checkpoints

```bash
python tools/download.py --list
python tools/infer.py spl_minidrive street.png --out look
```

[Downloading, mirrors, publishing](inference.md#networks-by-name). mIoU is that of the run which made the checkpoint.
"""


@dataclass(frozen=True)
class Zoo:
    """What everything here is made of.

    Attributes:
        root (Path): a checkout.
        metafiles (list[Metafile]): of all methods.
        figures (dict[str, Figure]): our own, by the name of the config.
        checkpoints (list[dict]): entries of the catalogue, as in its file.
    """
    root: Path
    metafiles: list[Metafile]
    figures: dict[str, Figure]
    checkpoints: list[dict[str, Any]]


def read_zoo(root: Path) -> Zoo:
    """Reads metafiles, records and catalogue of a checkout."""
    entries = json.loads((root / CATALOGUE).read_text(encoding='utf-8'))['checkpoints']
    return Zoo(root, read_metafiles(root), own_figures(root), entries)


def generated_files(zoo: Zoo) -> dict[Path, str]:
    """Text of every file that is written, by path."""
    checkpoints = [_refreshed(entry, zoo) for entry in zoo.checkpoints]
    files = {metafile.path: metafile_text(metafile, zoo.figures) for metafile in zoo.metafiles}
    files[zoo.root / PAGE] = page_text(zoo.metafiles, zoo.figures, checkpoints)
    files[zoo.root / INDEX] = index_text(zoo.root, zoo.metafiles)
    content = {'schema_version': 1, 'checkpoints': checkpoints}
    return files | {zoo.root / CATALOGUE: json.dumps(content, indent=2, ensure_ascii=False) + '\n'}


def _refreshed(entry: dict[str, Any], zoo: Zoo) -> dict[str, Any]:
    """With the data and mIoU of its config and seed."""
    models = {model['Config']: model for metafile in zoo.metafiles for model in metafile.models}
    model = models.get(entry['config'])
    figure = zoo.figures.get(model['Name']) if model else None
    if model is None or figure is None or entry['seed'] not in figure.values:
        raise ValueError(f'{CATALOGUE}: {entry["name"]} is of {entry["config"]}, seed {entry["seed"]}; there is no record of '
                         'such a run. Name config and seed of the run that made it, and keep its record')
    return entry | {'data': model['Test Data'], 'miou': round(figure.values[entry['seed']], 1)}


def index_text(root: Path, metafiles: Sequence[Metafile]) -> str:
    """``model-index.yml``, which OpenMMLab's tools start from."""
    return ('# Written by tools/model_zoo.py.\n'
            + to_yaml({'Import': [metafile.path.relative_to(root).as_posix() for metafile in metafiles]}))


def page_text(metafiles: Sequence[Metafile], figures: Mapping[str, Figure], checkpoints: Sequence[Mapping[str, Any]]) -> str:
    """``docs/model_zoo.md``."""
    by_config: dict[str, list[str]] = {}
    for entry in checkpoints:
        by_config.setdefault(entry['config'], []).append(entry['name'])
    header = ['name', 'config', 'seed', 'mIoU', 'data', 'size', 'file', 'sha256']
    rows = [[f'`{entry["name"]}`', _link(entry['config']), str(entry['seed']), f'{entry["miou"]:.1f}', entry['data'],
             f'{entry["bytes"] / 2**20:.1f} MiB', f'`{entry["file"]}`', f'`{entry["sha256"]}`'] for entry in checkpoints]
    parts = [_INTRODUCTION, _CHECKPOINTS, _table(header, rows)]
    for metafile in metafiles:
        for collection in metafile.collections:
            models = [model for model in metafile.models if model['In Collection'] == collection['Name']]
            parts += _collection(collection, models, figures, by_config)
    return '\n'.join(parts)


def _collection(collection: Mapping[str, Any], models: Sequence[Mapping[str, Any]], figures: Mapping[str, Figure],
                checkpoints: Mapping[str, list[str]]) -> Iterator[str]:
    paper = collection.get('Paper')
    title = f'[{paper["Title"]}]({paper["URL"]}). ' if paper else ''
    yield f'## {collection["Name"]}\n\n{title}[What it is, and what differs]({_up(collection["README"])})\n'
    own = {model['Name']: figures[model['Name']] for model in models if model['Name'] in figures}
    shown = [model for model in models if model['Name'] in own or 'Published' in model]
    if shown:
        columns = _columns(shown, own, checkpoints)
        yield _table(list(columns), [[cell(model) for cell in columns.values()] for model in shown])
    if others := [_link(model['Config']) for model in models if model not in shown]:
        yield f'Without a figure so far: {", ".join(others)}.\n'
    yield from _commands(models, own)


def _columns(models: Sequence[Mapping[str, Any]], own: Mapping[str, Figure],
             checkpoints: Mapping[str, list[str]]) -> dict[str, Callable[[Mapping[str, Any]], str]]:
    """Text of a cell by the heading of its column; columns that would be empty are left out."""
    tubes = any('VPQs' in entry['Metrics'] for model in models for entry in model.get('Published', [])) \
        or any(figure.vpqs is not None for figure in own.values())
    of = partial(_of, own)
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        'config': lambda model: _link(model['Config']),
        'data': lambda model: model['Test Data'],
        'network': lambda model: model['Metadata']['Architecture'][0],
        'published mIoU': lambda model: _published(model, 'mIoU')}
    if tubes:
        columns['published VPQ^s'] = lambda model: _published(model, 'VPQs')
    columns['source of the published'] = _sources
    columns['our mIoU'] = lambda model: of(model, lambda figure: _with_std(figure, figure.miou, figure.std), 'not run')
    if tubes:
        columns['our VPQ^s'] = lambda model: of(model, lambda figure: _with_std(figure, figure.vpqs, figure.vpqs_std), 'not run')
    columns['our protocol'] = lambda model: of(model, lambda figure: figure.protocol)
    if any(figure.answers for figure in own.values()):
        columns['answered'] = lambda model: of(model, lambda figure: f'{figure.answers:.2f} %' if figure.answers else '-')
    columns |= {'seeds': lambda model: of(model, lambda figure: ', '.join(map(str, figure.seeds))),
                'commit': lambda model: of(model, lambda figure: ', '.join(figure.commits)),
                'hardware': lambda model: of(model, lambda figure: ', '.join(figure.hardware))}
    if any(model['Config'] in checkpoints for model in models):
        columns['checkpoint'] = lambda model: ', '.join(f'`{name}`' for name in checkpoints.get(model['Config'], [])) or '-'
    return columns


def _commands(models: Sequence[Mapping[str, Any]], own: Mapping[str, Figure]) -> Iterator[str]:
    """How our figures are made again: one command for the configs of one set of records and the same seeds."""
    groups: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for model in models:
        if figure := own.get(model['Name']):
            groups.setdefault((Path(figure.folder).parent.name, figure.seeds), []).append(model['Config'])
    if not groups:
        return
    yield '<!-- not run: hours of training -->'
    yield '```bash'
    for (_, seeds), configs in groups.items():
        words = ['python tools/benchmark/compare_methods.py', *configs, f'--seeds {" ".join(map(str, seeds))}']
        yield ' \\\n'.join(_wrapped(words))
    yield '```\n'


def _wrapped(words: Sequence[str]) -> list[str]:
    """Lines of a command; those after the first are indented."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) < _WIDTH:
            lines[-1] += f' {word}'
        else:
            lines.append(f'    {word}')
    return lines


def _of(own: Mapping[str, Figure], model: Mapping[str, Any], text: Callable[[Figure], str], missing: str = '-') -> str:
    return text(own[model['Name']]) if model['Name'] in own else missing


def _published(model: Mapping[str, Any], metric: str) -> str:
    entries = [entry['Metrics'] for entry in model.get('Published', [])]
    return ', '.join(str(metrics[metric]) for metrics in entries if metric in metrics) or '-'


def _sources(model: Mapping[str, Any]) -> str:
    return '; '.join(figure['Source'] + (f' ({figure["Note"]})' if 'Note' in figure else '')
                     for figure in model.get('Published', [])) or '-'


def _with_std(figure: Figure, value: float | None, std: float | None) -> str:
    if value is None:
        return '-'
    chosen = '' if figure.checkpoint == 'last' else f' (checkpoint: {figure.checkpoint})'
    return f'{value:.1f}' + ('' if std is None else f' ± {std:.1f}') + chosen + ('' if figure.current else f' {_NOTE}')


def _link(config: str) -> str:
    return f'[{Path(config).stem}]({_up(config)})'


def _up(path: str) -> str:
    """From ``docs/`` to a path of the checkout."""
    return f'../{path}'


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ['| ' + ' | '.join(cells) + ' |' for cells in (header, ['---'] * len(header), *rows)]
    return '\n'.join(lines) + '\n'
