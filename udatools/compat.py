# SPDX-License-Identifier: Apache-2.0
"""Everything that depends on the version of something else, in one place.

:func:`prepare` runs once at ``import udatools``. It checks the installed distributions (one clear sentence a
problem), makes the Python parts of a torchvision importable whose compiled operators do not fit the installed torch
build (a wheel for CUDA next to a CPU torch), lets ``torch.load(weights_only=True)`` read the checkpoints of mmengine,
and imports mmcv and mmseg without the lines that they print on every start. All checks are pure functions over a
mapping ``distribution name -> version``, so that they are tested on environments nobody has to install.
"""

import importlib
import importlib.metadata
import importlib.util
import io
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = [
    'CompatError',
    'allow_checkpoint_globals',
    'check_environment',
    'find_problems',
    'import_torchvision',
    'installed_versions',
    'load_weights',
    'prepare',
    'quiet_imports',
    'tested_versions',
]


class CompatError(ImportError):
    """The installed packages cannot work together; the message has one sentence a problem, each with its remedy."""


# import name -> (maintained fork, upstream, other distributions that provide the same import name)
_FAMILIES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    'mmengine': ('onedl-mmengine', 'mmengine', ('mmengine-lite',)),
    'mmcv': ('onedl-mmcv', 'mmcv', ('mmcv-lite', 'mmcv-full')),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation', ()),
}
# distribution -> (first version that works, the version that is tested)
_MINIMUM: dict[str, tuple[str, str]] = {
    'torch': ('2.1', '2.13.0'),
    'torchvision': ('0.16', '0.28.0'),
    'numpy': ('1.24', '2.4.6'),
    'onedl-mmengine': ('0.10.8', '0.10.12'),
    'onedl-mmcv': ('2.3', '2.3.6'),
    'onedl-mmsegmentation': ('1.4', '1.4.2'),
    'mmengine': ('0.10.3', '0.10.7'),
    'mmengine-lite': ('0.10.3', '0.10.7'),
    'mmcv': ('2.0.1', '2.1.0'),
    'mmcv-lite': ('2.0.1', '2.1.0'),
    'mmcv-full': ('2.0.1', '2.1.0'),
    'mmsegmentation': ('1.2.0', '1.2.2'),
}
_REQUIRED = ('torch', 'numpy')
_UNKNOWN = 'unknown'

_NMS_MISSING = 'operator torchvision::nms does not exist'
_ONEDL_LINE = 'Could not import OneDL'
# The message of mmcv/cnn/bricks/transformer.py when mmcv has no compiled operators.
_MMCV_OPS_WARNING = r'Fail to import ``MultiScaleDeformableAttention`` from'

_torchvision_schemas: list[object] = []  # torch.library.Library objects: the schemas live as long as these do
_prepared = False


def tested_versions() -> dict[str, str]:
    """Return the versions that the pinned requirement files install and that the tests run with."""
    return {name: _MINIMUM[name][1] for name in ('torch', 'torchvision', 'numpy', *(f[0] for f in _FAMILIES.values()))}


def installed_versions() -> dict[str, str]:
    """Return the versions of the distributions that matter here.

    Returns:
        dict[str, str]: distribution name -> version. A distribution that is not installed has no key. A package
        that can be imported although no distribution of it is installed (a source tree on ``PYTHONPATH``) has
        ``'unknown'``.
    """
    versions: dict[str, str] = {}
    for name in _MINIMUM:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if version:
            versions[name] = version
    modules = {
        **{m: (fork, stock, *rest) for m, (fork, stock, rest) in _FAMILIES.items()},
        **{m: (m,) for m in ('torch', 'numpy', 'torchvision')},
    }
    for module, names in modules.items():
        if not any(name in versions for name in names) and importlib.util.find_spec(module) is not None:
            versions[names[1] if len(names) > 1 else module] = _UNKNOWN
    return versions


def _release(version: str) -> tuple[int, ...]:
    """``'2.13.0+cpu' -> (2, 13, 0)``, ``'0.10.8rc1' -> (0, 10, 8)``; empty for a text without a leading number."""
    match = re.match(r'\d+(?:\.\d+)*', version)
    return tuple(int(part) for part in match.group().split('.')) if match else ()


def _older(version: str, minimum: str) -> bool:
    """Whether ``version`` is known and lies before ``minimum``, compared number by number, missing ones as 0."""
    have, want = _release(version), _release(minimum)
    if not have:
        return False
    length = max(len(have), len(want))
    return have + (0,) * (length - len(have)) < want + (0,) * (length - len(want))


def _matching_torchvision(torch_version: str) -> str | None:
    """Return the torchvision series ('0.28') released with a torch 2.x: its minor number is that of torch plus 15."""
    release = _release(torch_version)
    return f'0.{release[1] + 15}' if len(release) >= 2 and release[0] == 2 else None


def _family_problems(versions: Mapping[str, str]) -> Iterator[str]:
    kinds: dict[str, str] = {}
    for module, (fork, stock, others) in _FAMILIES.items():
        present = [name for name in (fork, stock, *others) if name in versions]
        tested = _MINIMUM[fork][1]
        if not present:
            yield (
                f'{module} is not installed: run `pip install {fork}=={tested}` (or {stock} '
                f'{_MINIMUM[stock][1]}, if you work with the upstream packages).'
            )
        elif len(present) > 1:
            listed = ' and '.join(f'{name} {versions[name]}' for name in present)
            yield (
                f"{listed} are installed side by side and overwrite each other's files of `{module}`: run "
                f'`pip uninstall -y {" ".join(present)}`, then `pip install {fork}=={tested}`.'
            )
        else:
            name = present[0]
            if versions[name] != _UNKNOWN:
                kinds[name] = 'fork' if name == fork else 'stock'
            minimum, tested = _MINIMUM[name]
            if _older(versions[name], minimum):
                yield (
                    f'{name} {versions[name]} is too old, udatools needs {minimum} or newer: run '
                    f'`pip install {name}=={tested}`.'
                )
    if len(set(kinds.values())) > 1:
        listed = ', '.join(f'{name} {versions[name]}' for name in kinds)
        forks = ' '.join(f'{fork}=={_MINIMUM[fork][1]}' for fork, _, _ in _FAMILIES.values())
        yield (
            f'the onedl packages and the upstream ones are mixed ({listed}), which do not fit together: run '
            f'`pip uninstall -y {" ".join(kinds)}`, then `pip install {forks}`.'
        )
    elif 'mmsegmentation' in kinds:
        mmcv = next((name for name in kinds if name.startswith('mmcv')), None)
        if mmcv and not _older(versions[mmcv], '2.2.0'):
            yield (
                f'mmsegmentation {versions["mmsegmentation"]} refuses mmcv 2.2.0 and newer, and {mmcv} is '
                f'{versions[mmcv]}: run `pip install {mmcv}==2.1.0`.'
            )


def find_problems(versions: Mapping[str, str], python: tuple[int, int] = (3, 10)) -> list[str]:
    """Say what is wrong with a set of installed versions.

    Args:
        versions (Mapping[str, str]): distribution name -> version, as :func:`installed_versions` returns it. The
            version ``'unknown'`` passes every comparison.
        python (tuple[int, int]): major and minor version of the interpreter.

    Returns:
        list[str]: one sentence a problem, each with its remedy; empty when all is well.
    """
    problems = []
    if python < (3, 10):
        problems.append(
            f'Python {python[0]}.{python[1]} is too old, udatools needs 3.10 or newer: make the virtual '
            f'environment with a newer interpreter.'
        )
    for name in (*_REQUIRED, 'torchvision'):
        minimum, tested = _MINIMUM[name]
        if name not in versions:
            if name in _REQUIRED:
                problems.append(f'{name} is not installed: run `pip install {name}=={tested}`.')
        elif _older(versions[name], minimum):
            problems.append(
                f'{name} {versions[name]} is too old, udatools needs {minimum} or newer: run '
                f'`pip install {name}=={tested}`.'
            )
    torch_version = versions.get('torch', '')
    if _release(versions.get('numpy', ''))[:1] >= (2,) and _release(torch_version) and _older(torch_version, '2.3'):
        problems.append(
            f'torch {torch_version} cannot work with numpy {versions["numpy"]}: run '
            f'`pip install torch=={_MINIMUM["torch"][1]}` or `pip install "numpy<2"`.'
        )
    series = _matching_torchvision(torch_version)
    have = _release(versions.get('torchvision', ''))
    if series is not None and have and have[:2] != _release(series):
        patch = '.'.join(str(number) for number in (*_release(torch_version), 0)[:3])
        remedy = f'`pip install --no-deps "torchvision=={series}.*"`'
        problems.append(
            f'torchvision {versions["torchvision"]} does not match torch {torch_version}: run {remedy} for '
            f'torch {patch}, or uninstall torchvision, which is optional.'
        )
    problems.extend(_family_problems(versions))
    return problems


def check_environment(versions: Mapping[str, str] | None = None) -> None:
    """Raise when the installed packages cannot work together.

    Args:
        versions (Mapping[str, str] | None): distribution name -> version; None reads the running interpreter's.

    Raises:
        CompatError: with one sentence a problem.
    """
    problems = find_problems(installed_versions() if versions is None else versions, sys.version_info[:2])
    if problems:
        raise CompatError(
            'udatools cannot start: ' + '\n  '.join(problems)
            if len(problems) == 1
            else 'udatools cannot start:\n  ' + '\n  '.join(problems)
        )


def _declare_torchvision_schemas() -> None:
    """Declare ``torchvision::nms`` and ``::qnms`` without an implementation, which is all that its import asks for."""
    import torch

    library = torch.library.Library('torchvision', 'DEF')
    for name in ('nms', 'qnms'):
        library.define(f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    _torchvision_schemas.append(library)


def _forget(package: str) -> None:
    """Drop a half-imported package from ``sys.modules``, so that it can be imported again."""
    for name in [name for name in sys.modules if name == package or name.startswith(package + '.')]:
        del sys.modules[name]


def import_torchvision(
    importer: Callable[[str], ModuleType] = importlib.import_module,
    declare: Callable[[], None] = _declare_torchvision_schemas,
) -> ModuleType | None:
    """Import torchvision, also when its compiled operators cannot be loaded.

    A torchvision wheel built for CUDA next to a CPU torch raises ``operator torchvision::nms does not exist`` at
    import, and mmengine's ``collect_env`` then takes the Runner down. Its Python parts (models, weights, RAFT) need the
    schema of the operator only; so the schemas are declared and the import is tried once more, in exactly that case.

    Args:
        importer: imports a module by name.
        declare: declares the missing schemas.

    Returns:
        ModuleType | None: torchvision; None when it is not installed.

    Raises:
        CompatError: torchvision is broken in another way.
    """
    try:
        return importer('torchvision')
    except ModuleNotFoundError as error:
        if error.name == 'torchvision':
            return None
        raise CompatError(
            f'torchvision needs the package {error.name!r}, which is not installed: run `pip install '
            f'{error.name}`, or uninstall torchvision, which is optional.'
        ) from error
    except RuntimeError as error:
        if str(error).strip() != _NMS_MISSING:
            raise CompatError(
                f'torchvision cannot be imported ({error}): reinstall the torchvision that matches torch, or '
                f'uninstall it, it is optional.'
            ) from error
    _forget('torchvision')
    declare()
    try:
        return importer('torchvision')
    except (ImportError, RuntimeError) as error:
        raise CompatError(
            f'torchvision does not fit the installed torch ({error}): reinstall the torchvision that '
            f'matches torch, or uninstall it, it is optional.'
        ) from error


def allow_checkpoint_globals() -> None:
    """Let ``torch.load(weights_only=True)``, the default from torch 2.6 on, read what mmengine puts into checkpoints.

    A checkpoint of mmengine carries its message hub: ``HistoryBuffer`` objects with numpy arrays, and the names of
    their methods, which pickle looks up with ``getattr``. The onedl fork allows those itself while it loads, for a
    few types of numbers, and prints a warning before it loads a checkpoint with others unsafely; so the other types
    are added here. Upstream mmengine 0.10.7 allows nothing and cannot resume; it gets the rest too. Nothing that runs
    code is allowed.
    """
    import numpy as np
    import torch
    from mmengine.logging.history_buffer import HistoryBuffer
    from mmengine.runner import checkpoint

    add = getattr(torch.serialization, 'add_safe_globals', None)
    if add is None:
        return
    core = importlib.import_module('numpy._core.multiarray' if _release(np.__version__) >= (2,) else 'numpy.core.multiarray')
    kinds = ('f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', '?')
    allowed = [np.ndarray, np.dtype, core._reconstruct, core.scalar, *{type(np.dtype(kind)) for kind in kinds}]
    if not hasattr(checkpoint, 'get_torch_safe_globals'):
        allowed += [HistoryBuffer, getattr, slice]
    add(allowed)


def load_weights(path: Path) -> Any:
    """A checkpoint on the CPU: tensors and plain values, and what mmengine keeps beside them; no code of the file is run.

    Raises:
        pickle.UnpicklingError: when it holds anything else; torch before 2.5 cannot tell, and reads it as any pickle.
    """
    import torch
    from mmengine.runner import checkpoint

    safe_globals = getattr(torch.serialization, 'safe_globals', None)
    if safe_globals is None:
        return torch.load(path, map_location='cpu', weights_only=False)
    with safe_globals(getattr(checkpoint, 'get_torch_safe_globals', list)()):
        return torch.load(path, map_location='cpu', weights_only=True)


class _DropLines(io.TextIOBase):
    """A text stream that passes on everything but the lines equal to one of ``dropped``."""

    def __init__(self, target, dropped: tuple[str, ...]) -> None:
        self._target = target
        self._dropped = dropped
        self._pending = ''

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._pending = (self._pending + text).split('\n')
        for line in lines:
            if line.strip() not in self._dropped:
                self._target.write(line + '\n')
        return len(text)

    def flush(self) -> None:
        self._target.flush()

    def finish(self) -> None:
        if self._pending:
            self._target.write(self._pending)
            self._pending = ''


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Keep two known lines off the console while mmcv and mmseg are imported; everything else passes.

    Dropped are the line ``Could not import OneDL``, which the onedl fork of mmseg prints twice, and mmcv's warning that
    it has no compiled ``MultiScaleDeformableAttention``, which udatools does not use.
    """
    warnings.filterwarnings('ignore', message=_MMCV_OPS_WARNING, category=UserWarning)
    streams = sys.stdout, sys.stderr
    quiet = [_DropLines(stream, (_ONEDL_LINE,)) if stream is not None else None for stream in streams]
    sys.stdout, sys.stderr = quiet  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        for stream in quiet:
            if stream is not None:
                stream.finish()


def prepare() -> None:
    """Check the environment and import what udatools stands on; a second call does nothing.

    Raises:
        CompatError: the installed packages cannot work together.
    """
    global _prepared
    if _prepared:
        return
    check_environment()
    import_torchvision()
    with quiet_imports():
        importlib.import_module('mmseg.datasets')
        importlib.import_module('mmseg.models')
    allow_checkpoint_globals()
    _prepared = True
