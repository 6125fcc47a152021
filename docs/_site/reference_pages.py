# SPDX-License-Identifier: Apache-2.0
"""The reference: a page a package of udatools with everything public in its modules, and the components by registry.

The pages are written into a folder that git ignores. They are made of the files and registries that are there, so that a new
module or component has its place without an edit; `sphinx.ext.autodoc` puts the docstrings in.
"""
import importlib
import inspect
import pkgutil
from pathlib import Path

import udatools
from udatools import registry

PACKAGE = Path(udatools.__file__).resolve().parent
# Behind the tools, and free to change: no page.
INTERNAL = ('active/annotator', 'datasets/minidrive', 'datasets/preparation', 'engine/model_converters', 'utils',
            'visualization')
COMPONENTS = """What ``type=`` in a config may name, beside everything of mmseg and mmengine, by registry
(:mod:`udatools.registry`).
"""


def write(out: Path) -> None:
    """Writes all pages, leaves those that have not changed alone, and removes those of packages that are gone.

    Args:
        out (Path): folder of the pages.
    """
    pages = {'components.rst': components_page()}
    for init in sorted(PACKAGE.rglob('__init__.py')):
        inside = init.parent.relative_to(PACKAGE)
        if not any(inside.is_relative_to(folder) for folder in INTERNAL):
            name = '.'.join(['udatools', *inside.parts])
            pages[f'{name}.rst'] = package_page(name, init.parent)
    out.mkdir(parents=True, exist_ok=True)
    for path in out.glob('*.rst'):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = out / name
        if not path.is_file() or path.read_text(encoding='utf-8') != text:  # Sphinx reads again what is younger
            path.write_text(text, encoding='utf-8')


def package_page(name: str, folder: Path) -> str:
    """reStructuredText of a package: its docstring, then a section a module, in alphabetical order."""
    text = heading(name, '=') + module(name)
    for path in sorted(folder.glob('*.py')):
        if not path.name.startswith('_'):
            text += f'\n{heading(path.stem, "-")}{module(f"{name}.{path.stem}")}'
    return text


def module(name: str) -> str:
    """Directive that describes a module and what is defined in it; what it only imports is described where it comes from."""
    return f'.. automodule:: {name}\n   :members:\n   :ignore-module-all:\n   :show-inheritance:\n'


def components_page() -> str:
    """reStructuredText of a list a registry: name, and the first paragraph of the docstring."""
    text = f'{heading("Components", "=")}{COMPONENTS}'
    for name in registry.__all__:
        if items := components_of(getattr(registry, name)):
            text += f'\n{heading(name, "-")}{"".join(entry(key, items[key]) for key in sorted(items))}'
    return text


def components_of(kinds) -> dict[str, type]:
    """Components of udatools in a registry, by the name that a config gives."""
    for location in kinds._locations:
        importlib.import_module(location)
    return {key: component for key, component in kinds.module_dict.items() if component.__module__.startswith('udatools.')}


def entry(key: str, component: type) -> str:
    """A line of the list, with a link to where the component is described."""
    first = (inspect.getdoc(component) or '').partition('\n\n')[0].replace('\n', ' ')
    role = 'class' if inspect.isclass(component) else 'func'
    return f'- :{role}:`{key} <{component.__module__}.{component.__qualname__}>`: {first}\n'


def heading(text: str, line: str) -> str:
    """A title and the line below it."""
    return f'{text}\n{line * len(text)}\n\n'


def resolve_short_name(app, env, node, content):
    """Finds what a docstring calls by the package that offers it, ``udatools.active.LabelLedger``, where it is defined.

    Args:
        app (Sphinx): the application.
        env (BuildEnvironment): its pages so far.
        node (pending_xref): the reference that Sphinx has not found.
        content (Element): its text.

    Returns:
        Element | None: the link, or None for a name that does not exist.
    """
    target = node.get('reftarget', '')
    if node.get('refdomain') != 'py' or not target.startswith('udatools.'):
        return None
    try:
        found = pkgutil.resolve_name(target)
    except (AttributeError, ImportError):
        return None
    defined = f'{getattr(found, "__module__", None)}.{getattr(found, "__qualname__", None)}'
    if defined == target:
        return None
    return env.get_domain('py').resolve_xref(env, node['refdoc'], app.builder, node['reftype'], defined, node, content)
