# SPDX-License-Identifier: Apache-2.0
"""One page about one or several runs: learning curves, classes, confusions, worst images, pseudo-labels.

A self-contained HTML file, as the report of a run: style, charts and pictures are in it, there is no script.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from udatools.utils.atomic import write_text_atomic
from udatools.visualization.analysis import mistakes, sections
from udatools.visualization.analysis.pseudo_labels import PseudoLabelRounds, load_rounds, score_rounds
from udatools.visualization.analysis.runs import Method, load_methods
from udatools.visualization.analysis.validation import Validation, Validator
from udatools.visualization.page import document, several_runs_style

__all__ = ['write_analysis']

#: What may be wrong with a run without being worth losing the page for.
_UNUSABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError)


def write_analysis(work_dirs: Sequence[str | Path], out: str | Path, *, predict: bool = True, truth: bool = False, worst: int = 4,
                   device: str | None = None, options: Mapping[str, Any] | None = None) -> tuple[Path, dict[str, str]]:
    """Write the page; replaces an earlier one.

    Args:
        work_dirs (Sequence[str | Path]): finished or running work directories.
        out (str | Path): the page, ``*.html``.
        predict (bool): run the final models over the validation set, for confusions and worst images; what was counted stays in
            ``analysis/validation.npz`` of the run.
        truth (bool): open ground truth of the target's *training* images to score pseudo-labels.
        worst (int): images shown a method, >= 0.
        device (str, optional): of the models; by default a GPU where there is one.
        options (Mapping, optional): dotted overrides of the runs' configs, such as where data lies on this machine.

    Returns:
        tuple: path of the page, and why parts of it are missing, by the label of the method.

    Raises:
        FileNotFoundError: a folder is no work directory.
        ValueError: a file of a run is damaged, protocols differ, or ``worst`` is negative.
    """
    if worst < 0:
        raise ValueError(f'worst is {worst}; expected a number >= 0')
    if Path(out).suffix.lower() not in ('.html', '.htm'):
        raise ValueError(f'got {out} as the page; expected a name that ends with .html')
    methods = load_methods(work_dirs)
    problems: dict[str, str] = {}
    parts = [sections.headline(methods), sections.overview(methods), sections.learning(methods), sections.losses(methods),
             sections.classes(methods)]
    for method in methods if predict else []:
        try:
            parts += _mistakes(method, worst, device, options)
        except _UNUSABLE as error:
            problems[method.label] = f'no confusions and worst images: {_said(error)}'
    parts.append(mistakes.pseudo_labels(methods, _pseudo_labels(methods, truth, options, problems)))
    names = ' · '.join(method.label for method in methods)
    count = sum(len(method.runs) for method in methods)
    page = document(f'Analysis: {names}', 'Analysis', f'{names} · {count} run{"s" if count > 1 else ""}',
                    [part for part in parts if part], several_runs_style())
    write_text_atomic(out, page)
    return Path(out), problems


def _mistakes(method: Method, worst: int, device: str | None, options: Mapping[str, Any] | None) -> list[str]:
    """Confusions and worst images of one method. Models are loaded one after another."""
    first: Validator | None = None
    found: list[Validation] = []
    for trace in method.runs:
        validator = Validator(trace.work_dir, device=device, options=options)
        found.append(validator.run())
        first = first or validator
        if found[0].keys != found[-1].keys or found[0].classes != found[-1].classes:
            raise ValueError(f'{trace.work_dir} was validated on other images or classes than {method.runs[0].work_dir}')
    assert first is not None
    return [mistakes.confusions(method.label, found), mistakes.worst_images(method.label, found, first, worst)]


def _pseudo_labels(methods: Sequence[Method], truth: bool, options: Mapping[str, Any] | None,
                   problems: dict[str, str]) -> dict[str, PseudoLabelRounds]:
    found = {method.label: load_rounds(method.runs) for method in methods}
    found = {label: rounds for label, rounds in found.items() if rounds.coverage}
    for method in methods if truth else []:
        if method.label not in found:
            continue
        try:
            for trace in method.runs:
                if trace.coverage():
                    score_rounds(found[method.label], trace.work_dir, options)
        except _UNUSABLE as error:
            found[method.label].confusions.clear()
            reason = f'pseudo-labels are not scored: {_said(error)}'
            problems[method.label] = '; '.join(filter(None, [problems.get(method.label), reason]))
    return found


def _said(error: Exception) -> str:
    from udatools.engine.command_line import message_of

    return message_of(error) if isinstance(error, (OSError, ValueError)) else f'{type(error).__name__}: {message_of(error)}'
