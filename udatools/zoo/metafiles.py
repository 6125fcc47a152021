# SPDX-License-Identifier: Apache-2.0
"""``configs/*/metafile.yml``: what each method and each of its configs is, in the format of OpenMMLab's tools.

Two keys are added to that format: ``Published`` lists the figures of others with their source, by hand; ``Results`` are our
own and written from ``docs/records`` alone. A metafile is read, checked, and written in one form.
"""
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from udatools.zoo.figures import Figure

HEADER = '# Written by tools/model_zoo.py: Results are those of docs/records, the rest is edited here by hand.\n'
METRICS = ('mIoU', 'VPQs')
_COLLECTION = {'Name': str, 'License': str, 'Paper': dict, 'README': str, 'Frameworks': list}
_MODEL = {'Name': str, 'In Collection': str, 'Config': str, 'Metadata': dict, 'Task': str, 'Test Data': str, 'Published': list,
          'Results': list}
_PUBLISHED = {'Metrics': dict, 'Source': str, 'Note': str}
_OPTIONAL = ('Paper', 'Published', 'Results', 'Note')


class MetafileError(ValueError):
    """A metafile does not say what it has to."""


@dataclass(frozen=True)
class Metafile:
    """One file.

    Attributes:
        path (Path): ``configs/<folder>/metafile.yml``.
        collections (list[dict]): as in the file.
        models (list[dict]): as in the file, ``Results`` left out.
    """
    path: Path
    collections: list[dict[str, Any]]
    models: list[dict[str, Any]]


def read_metafiles(root: Path) -> list[Metafile]:
    """All metafiles of a checkout, by folder.

    Raises:
        MetafileError: for a file that breaks the format; names file, entry and key.
    """
    return [read_metafile(path) for path in sorted((root / 'configs').glob('*/metafile.yml'))]


def read_metafile(path: Path) -> Metafile:
    """One metafile; see :func:`read_metafiles`."""
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        raise MetafileError(f'{path} is no YAML ({error}); mend it') from error
    if not isinstance(content, dict) or content.keys() != {'Collections', 'Models'}:
        raise MetafileError(f'{path}: expected the keys Collections and Models')
    for entry in content['Collections']:
        _check(entry, _COLLECTION, f'{path}, collection {entry.get("Name")}')
    names = {entry['Name'] for entry in content['Collections']}
    models = []
    for entry in content['Models']:
        where = f'{path}, model {entry.get("Name")}'
        _check(entry, _MODEL, where)
        if entry['In Collection'] not in names:
            raise MetafileError(f'{where}: there is no collection {entry["In Collection"]!r}; expected '
                                f'{", ".join(sorted(names))}')
        if Path(entry['Config']).stem != entry['Name']:
            raise MetafileError(f'{where}: its config is {entry["Config"]}; expected one of that name')
        for figure in entry.get('Published', []):
            _check(figure, _PUBLISHED, f'{where}, Published')
            wrong = [key for key, value in figure['Metrics'].items() if key not in METRICS or not isinstance(value, (int, float))]
            if wrong or not figure['Metrics']:
                raise MetafileError(f'{where}, Published: got Metrics {figure["Metrics"]}; expected numbers under '
                                    f'{", ".join(METRICS)}')
        models.append({key: entry[key] for key in _MODEL if key in entry and key != 'Results'})
    return Metafile(path, content['Collections'], models)


def _check(entry: Mapping[str, Any], kinds: Mapping[str, type], where: str) -> None:
    for key, kind in kinds.items():
        if key not in entry:
            if key not in _OPTIONAL:
                raise MetafileError(f'{where}: {key} is missing')
        elif not isinstance(entry[key], kind) or not entry[key]:
            raise MetafileError(f'{where}: {key} is {entry[key]!r}; expected a {kind.__name__} that is not empty')
    if unknown := [key for key in entry if key not in kinds]:
        raise MetafileError(f'{where}: unknown key {unknown[0]}; known are {", ".join(kinds)}')


def results_of(model: Mapping[str, Any], figure: Figure) -> list[dict[str, Any]]:
    """``Results`` of a model: means over seeds, in percent with one decimal."""
    metrics = {'mIoU': round(figure.miou, 1)} | ({} if figure.vpqs is None else {'VPQs': round(figure.vpqs, 1)})
    result = {'Task': model['Task'], 'Dataset': model['Test Data'], 'Metrics': metrics, 'Protocol': figure.protocol,
              'Seeds': list(figure.seeds), 'Records': figure.folder}
    return [result if figure.current else result | {'Note': 'measured before the config was changed'}]


def metafile_text(metafile: Metafile, figures: Mapping[str, Figure]) -> str:
    """The file in its one form.

    Args:
        metafile (Metafile): what stands in it by hand.
        figures (Mapping[str, Figure]): our figures by the model's name.
    """
    models = [model | ({'Results': results_of(model, figures[model['Name']])} if model['Name'] in figures else {})
              for model in metafile.models]
    return HEADER + to_yaml({'Collections': metafile.collections, 'Models': models})


class _Indented(yaml.SafeDumper):
    """Lists stand to the right of their key; those of numbers on one line."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, False)

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        return super().represent_sequence(tag, sequence, flow_style or all(isinstance(item, int) for item in sequence))

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(content: Any) -> str:
    """YAML in the order of the keys; what fits a line stays on it."""
    return yaml.dump(content, Dumper=_Indented, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=False)
