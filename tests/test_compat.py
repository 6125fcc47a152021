# SPDX-License-Identifier: Apache-2.0
"""Checks of the environment on made-up environments, the torchvision guard, and a quiet console."""

import subprocess
import sys
import types
import warnings
from importlib.metadata import requires

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.version import Version

from udatools import compat
from udatools.compat import CompatError, check_environment, find_problems, import_torchvision, quiet_imports

GOOD = {
    'torch': '2.13.0+cpu',
    'torchvision': '0.28.0',
    'numpy': '2.4.6',
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmsegmentation': '1.4.2',
}
STOCK = {'torch': '2.13.0', 'numpy': '2.4.6', 'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmsegmentation': '1.2.2'}


def without(versions: dict[str, str], *names: str) -> dict[str, str]:
    return {name: version for name, version in versions.items() if name not in names}


@pytest.mark.parametrize(
    'versions',
    [
        GOOD,
        STOCK,
        GOOD | {'torch': '2.4.1', 'torchvision': '0.19.1'},
        GOOD | {'torch': '2.10.0+cu130', 'torchvision': '0.25.0'},
        without(GOOD, 'torchvision'),
        without(STOCK, 'mmcv') | {'mmcv-lite': '2.0.1'},
        GOOD | {'torch': 'unknown'},
        GOOD | {'torch': '2.14.0a0+git123', 'torchvision': '0.29.0a0'},
        STOCK | {'numpy': '1.26.4', 'torch': '2.1.0'},
        without(GOOD, 'onedl-mmsegmentation') | {'mmsegmentation': 'unknown'},
    ],
)
def test_environments_that_work(versions):
    assert find_problems(versions) == []
    check_environment(versions)


@pytest.mark.parametrize(
    ('versions', 'words'),
    [
        (without(GOOD, 'torch'), ['torch is not installed', 'pip install torch==2.13.0']),
        (without(GOOD, 'onedl-mmcv'), ['mmcv is not installed', 'pip install onedl-mmcv==2.3.6']),
        (without(GOOD, 'onedl-mmengine'), ['mmengine is not installed', 'pip install onedl-mmengine==0.10.12']),
        (without(GOOD, 'onedl-mmsegmentation'), ['mmseg is not installed', 'pip install onedl-mmsegmentation==1.4.2']),
        (
            GOOD | {'onedl-mmengine': '0.10.7'},
            ['onedl-mmengine 0.10.7 is too old', '0.10.8', 'onedl-mmengine==0.10.12'],
        ),
        (GOOD | {'onedl-mmcv': '2.2.9'}, ['onedl-mmcv 2.2.9 is too old', '2.3']),
        (STOCK | {'mmsegmentation': '0.30.0'}, ['mmsegmentation 0.30.0 is too old', 'mmsegmentation==1.2.2']),
        (without(GOOD, 'torchvision') | {'torch': '1.13.1', 'numpy': '1.26.4'}, ['torch 1.13.1 is too old', '2.1']),
        (
            GOOD | {'torchvision': '0.27.0+cu130'},
            ['torchvision 0.27.0+cu130', 'torch 2.13.0+cpu', '"torchvision==0.28.*"'],
        ),
        (GOOD | {'torch': '2.9.1', 'torchvision': '0.28.0'}, ['torchvision 0.28.0', '"torchvision==0.24.*"']),
        (
            GOOD | {'mmcv': '2.1.0'},
            ['onedl-mmcv 2.3.6 and mmcv 2.1.0', 'side by side', 'pip uninstall -y onedl-mmcv mmcv`'],
        ),
        (GOOD | {'mmsegmentation': '1.2.2'}, ['onedl-mmsegmentation 1.4.2 and mmsegmentation 1.2.2', 'side by side']),
        (STOCK | {'mmcv-lite': '2.1.0'}, ['mmcv 2.1.0 and mmcv-lite 2.1.0', 'side by side']),
        (without(GOOD, 'onedl-mmsegmentation') | {'mmsegmentation': '1.2.2'}, ['mixed', 'pip uninstall -y']),
        (STOCK | {'mmcv': '2.2.0'}, ['refuses mmcv 2.2.0', 'pip install mmcv==2.1.0']),
        (without(GOOD, 'torchvision') | {'torch': '2.2.2'}, ['torch 2.2.2 cannot work with numpy 2.4.6', 'numpy<2']),
    ],
)
def test_one_problem_gives_one_sentence_with_its_remedy(versions, words):
    problems = find_problems(versions)
    assert len(problems) == 1, problems
    assert [word for word in words if word not in problems[0]] == []
    assert problems[0].endswith('.') and '\n' not in problems[0]
    with pytest.raises(CompatError, match='udatools cannot start'):
        check_environment(versions)


def test_old_python_is_named():
    assert find_problems(GOOD, python=(3, 10)) == []
    (problem,) = find_problems(GOOD, python=(3, 9))
    assert '3.9' in problem and '3.10' in problem


def test_every_problem_is_reported():
    problems = find_problems({'mmcv': '1.7.0'})
    assert [problem.split(' ')[0] for problem in problems] == ['torch', 'numpy', 'mmengine', 'mmcv', 'mmseg']
    with pytest.raises(CompatError) as caught:
        check_environment({'mmcv': '1.7.0'})
    assert all(problem in str(caught.value) for problem in problems)


def test_an_import_error_catches_it():
    assert issubclass(CompatError, ImportError)


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=4),
    st.lists(st.integers(0, 30), min_size=1, max_size=4),
    st.sampled_from(['', '+cpu', 'rc1', '.post2']),
)
def test_version_comparison_agrees_with_packaging(have, want, ending):
    left, right = '.'.join(map(str, have)), '.'.join(map(str, want))
    assert compat._older(left + ending, right) == (Version(left) < Version(right))


@pytest.mark.parametrize(
    ('torch_version', 'series'),
    [
        ('2.0.1', '0.15'),
        ('2.4.0', '0.19'),
        ('2.13.0+cpu', '0.28'),
        ('1.13.1', None),
        ('3.0.0', None),
        ('unknown', None),
    ],
)
def test_torchvision_series_of_a_torch(torch_version, series):
    assert compat._matching_torchvision(torch_version) == series


def test_the_running_environment_is_read_and_good():
    versions = compat.installed_versions()
    assert versions['torch'] == torch.__version__ and versions['numpy'] == np.__version__
    assert find_problems(versions) == []
    assert set(compat.tested_versions()) >= {'torch', 'torchvision', 'onedl-mmcv'}


# ---- the torchvision guard ----------------------------------------------------------------------------------------


def failing(*errors):
    """An importer that raises these in turn, then returns a module."""
    queue = list(errors)
    calls = []

    def importer(name):
        calls.append(name)
        if queue:
            raise queue.pop(0)
        return types.ModuleType(name)

    return importer, calls


NMS = RuntimeError('operator torchvision::nms does not exist')


def test_schemas_are_declared_only_when_nms_is_missing():
    declared = []
    importer, calls = failing(NMS)
    assert import_torchvision(importer, lambda: declared.append(1)).__name__ == 'torchvision'
    assert declared == [1] and len(calls) == 2

    importer, calls = failing()
    assert import_torchvision(importer, lambda: declared.append(2)).__name__ == 'torchvision'
    assert declared == [1] and len(calls) == 1


def test_no_torchvision_is_fine():
    importer, _ = failing(ModuleNotFoundError("No module named 'torchvision'", name='torchvision'))
    assert import_torchvision(importer, pytest.fail) is None


@pytest.mark.parametrize(
    'error',
    [
        RuntimeError('operator torchvision::roi_align does not exist'),
        RuntimeError('something else'),
        ModuleNotFoundError("No module named 'PIL'", name='PIL'),
    ],
)
def test_other_failures_are_told_and_not_covered_up(error):
    importer, _ = failing(error)
    with pytest.raises(CompatError, match='torchvision') as caught:
        import_torchvision(importer, lambda: pytest.fail('declared schemas for another failure'))
    assert caught.value.__cause__ is error


def test_a_second_failure_is_told():
    importer, _ = failing(NMS, RuntimeError('operator torchvision::roi_align does not exist'))
    with pytest.raises(CompatError, match='does not fit the installed torch'):
        import_torchvision(importer, lambda: None)


def test_half_imported_modules_are_forgotten(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torchvision_other', types.ModuleType('torchvision_other'))
    for name in [name for name in sys.modules if name.split('.')[0] == 'torchvision']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'torchvision.extension', types.ModuleType('torchvision.extension'))
    importer, _ = failing(NMS)
    import_torchvision(importer, lambda: None)
    assert 'torchvision.extension' not in sys.modules and 'torchvision_other' in sys.modules


def test_python_parts_of_torchvision_work():
    torchvision = pytest.importorskip('torchvision')
    from torchvision.models.optical_flow import raft_small

    assert torchvision.models.resnet18(weights=None).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
    assert callable(raft_small)
    from mmengine.utils.dl_utils import collect_env

    assert 'TorchVision' in collect_env()


# ---- the console and checkpoints ----------------------------------------------------------------------------------


def test_only_the_known_lines_are_dropped(monkeypatch, capsys):
    with warnings.catch_warnings(record=True) as seen, quiet_imports():
        warnings.simplefilter('always', append=True)
        print('before')
        print('Could not import OneDL')
        print('Could not import OneDL, and something new')
        print('Could not import OneDL', file=sys.stderr)
        sys.stdout.write('no newline')
        warnings.warn('Fail to import ``MultiScaleDeformableAttention`` from ``mmcv.ops``', UserWarning, stacklevel=1)
        warnings.warn('another one', UserWarning, stacklevel=1)
    out, err = capsys.readouterr()
    assert out == 'before\nCould not import OneDL, and something new\nno newline' and err == ''
    assert [str(warning.message) for warning in seen] == ['another one']


def test_streams_come_back_after_an_error():
    stdout, stderr = sys.stdout, sys.stderr
    with pytest.raises(ZeroDivisionError), quiet_imports():
        raise ZeroDivisionError
    assert sys.stdout is stdout and sys.stderr is stderr


def test_no_console_at_all(monkeypatch):
    monkeypatch.setattr(sys, 'stdout', None)
    with quiet_imports():
        assert sys.stdout is None


@pytest.mark.slow
def test_import_is_silent(repo_root):
    done = subprocess.run(
        [sys.executable, '-W', 'default', '-c', 'import udatools'],
        cwd=repo_root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ''
    noise = [line for line in done.stderr.splitlines() if 'OneDL' in line or 'MultiScaleDeformable' in line]
    assert noise == []
    quiet = subprocess.run(
        [sys.executable, '-c', 'import udatools'], cwd=repo_root, capture_output=True, text=True, check=True
    )
    assert quiet.stdout + quiet.stderr == ''


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint with what mmengine's message hub puts into one."""
    from mmengine.logging.history_buffer import HistoryBuffer

    history = HistoryBuffer(log_history=[1.5, 2.5], count_history=[1, 1])
    path = tmp_path / 'iter_3.pth'
    torch.save(
        dict(
            message_hub=dict(log_scalars={'train/loss': history}),
            meta=dict(iter=3, loss=np.float32(0.5)),
            label=np.arange(3, dtype=np.uint8),
            state_dict={'w': torch.ones(2)},
        ),
        path,
    )
    return path


def check(loaded):
    assert loaded['message_hub']['log_scalars']['train/loss'].mean() == 2.0
    assert loaded['meta']['loss'] == 0.5 and loaded['label'].tolist() == [0, 1, 2]


def test_mmengine_loads_its_checkpoints_without_a_warning(checkpoint, capsys):
    from mmengine.runner.checkpoint import _load_checkpoint

    check(_load_checkpoint(str(checkpoint)))
    assert 'safely' not in ''.join(capsys.readouterr())


@pytest.mark.skipif(not hasattr(torch.serialization, 'safe_globals'), reason='torch before 2.5 loads everything')
def test_checkpoints_load_with_an_mmengine_that_allows_nothing(checkpoint, monkeypatch):
    from mmengine.runner import checkpoint as module

    with torch.serialization.safe_globals([]):  # puts the list back at its end
        torch.serialization.clear_safe_globals()
        with pytest.raises(Exception, match='[Ww]eights'):
            torch.load(checkpoint, weights_only=True)
        monkeypatch.delattr(module, 'get_torch_safe_globals', raising=False)
        compat.allow_checkpoint_globals()
        check(torch.load(checkpoint, weights_only=True))


def test_ranges_of_setup_do_not_contradict_compat():
    """The distribution may ask for more than compat needs, never for less."""
    try:
        listed = requires('udatools') or []
    except Exception:
        pytest.skip('udatools runs from a source tree that is not installed')
    for text in listed:
        requirement = Requirement(text)
        if requirement.marker is None and requirement.name in compat._MINIMUM:
            lowest = min(Version(spec.version) for spec in requirement.specifier if spec.operator in ('>=', '=='))
            assert lowest >= Version(compat._MINIMUM[requirement.name][0]), requirement
