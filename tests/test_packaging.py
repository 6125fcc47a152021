# SPDX-License-Identifier: Apache-2.0
"""The wheel, the pins, the scripts: what a stranger gets."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import udatools
from udatools import compat

SCRIPTS = [
    '.ci/run',
    'tools/quickstart.sh',
    'tools/run_tests.sh',
    'tools/dist_train.sh',
    'tools/dist_test.sh',
    'tools/slurm_train.sh',
]


def read_pins(path: Path) -> dict[str, list[Requirement]]:
    """Name -> requirements of a requirement file, with those of the files it includes."""
    pins: dict[str, list[Requirement]] = {}
    for line in path.read_text(encoding='utf-8').splitlines():
        line = line.split('#')[0].strip()
        if line.startswith('-r '):
            for name, found in read_pins(path.parent / line[3:].strip()).items():
                pins.setdefault(name, []).extend(found)
        elif line:
            requirement = Requirement(line)
            pins.setdefault(requirement.name, []).append(requirement)
    return pins


@pytest.mark.parametrize('name', ['runtime', 'test', 'dev', 'optional'])
def test_every_requirement_is_pinned_once_for_every_python(repo_root, name):
    pins = read_pins(repo_root / 'requirements' / f'{name}.txt')
    assert pins
    for package, found in pins.items():
        for minor in range(10, 15):
            environment = {'python_version': f'3.{minor}', 'python_full_version': f'3.{minor}.1'}
            applying = [r for r in found if r.marker is None or r.marker.evaluate(environment)]
            # A package may be needed by the tests and by an extra: twice the same pin.
            assert len(set(applying)) == 1, f'{package} on Python 3.{minor}: {applying}'
            assert [spec.operator for spec in applying[0].specifier] == ['=='], applying


def test_pins_are_the_tested_versions_and_work_together(repo_root):
    pins = read_pins(repo_root / 'requirements' / 'runtime.txt')
    pinned = {name: str(next(iter(found[0].specifier)).version) for name, found in pins.items()}
    assert {name: pinned[name] for name in compat.tested_versions()} == compat.tested_versions()
    assert compat.find_problems(pinned) == []
    assert 'opencv-python' in pinned and 'opencv-python-headless' not in pinned


def test_ranges_and_extras_of_setup_admit_the_pins(repo_root, monkeypatch):
    captured = {}
    monkeypatch.setattr('setuptools.setup', lambda **keywords: captured.update(keywords))
    source = (repo_root / 'setup.py').read_text(encoding='utf-8')
    exec(
        compile(source, str(repo_root / 'setup.py'), 'exec'),
        {'__file__': str(repo_root / 'setup.py'), '__name__': 'setup'},
    )
    assert captured['version'] == udatools.__version__ and captured['python_requires'] == '>=3.10'
    optional = ('annotator', 'active', 'analysis', 'timm', 'onnx', 'tensorboard', 'wandb', 'mlflow')
    assert {'tests', 'docs', 'all', *optional} == set(captured['extras_require'])
    pins = read_pins(repo_root / 'requirements' / 'dev.txt')
    needed = captured['install_requires'] + [
        r for name in ('tests', 'docs', *optional) for r in captured['extras_require'][name]
    ]
    for requirement in map(Requirement, needed):
        for pin in pins[requirement.name]:
            assert requirement.specifier.contains(next(iter(pin.specifier)).version), (str(requirement), str(pin))


def shipped_files(repo_root: Path) -> list[Path]:
    """Text files of the repository that git would carry."""
    folders = ['udatools', 'tools', 'configs', 'requirements', 'docs', '.ci', 'tests']
    files = [path for folder in folders for path in (repo_root / folder).rglob('*') if path.is_file()]
    files += [path for path in repo_root.iterdir() if path.is_file()]
    return [
        path
        for path in files
        if path.suffix in {'.py', '.sh', '.txt', '.md', '.toml', '.in', '.css', '.json', '.yml', ''}
        and '__pycache__' not in path.parts
        and path.name != 'lock'
    ]


def test_no_file_names_a_registry_host(repo_root):
    hosts = re.compile(
        '|'.join(
            (
                'py' + r'pi\.org',
                'python' + r'hosted\.org',
                'download' + r'\.pytorch\.org/whl',
                '--(extra-)?index-' + 'url',
                '--find-' + 'links',
            )
        )
    )
    files = shipped_files(repo_root)
    assert len(files) > 20
    found = [
        (str(path), match.group())
        for path in files
        if (match := hosts.search(path.read_text(encoding='utf-8', errors='replace')))
    ]
    assert found == []


def test_modules_say_their_licence(repo_root):
    sources = [path for folder in ('udatools', 'tools', 'tests') for path in (repo_root / folder).rglob('*.py')]
    silent = [
        str(path)
        for path in sources
        if 'SPDX-License-Identifier: Apache-2.0' not in path.read_text('utf-8')[:200] and path.stat().st_size
    ]
    assert silent == []
    assert 'Apache License' in (repo_root / 'LICENSE').read_text(encoding='utf-8')


@pytest.mark.parametrize('script', [*SCRIPTS, 'tools/_env.sh'])
def test_scripts_parse(repo_root, script):
    subprocess.run(['bash', '-n', str(repo_root / script)], check=True)
    if script in SCRIPTS:
        assert os.access(repo_root / script, os.X_OK)


@pytest.fixture
def fake_python(tmp_path):
    """A python that prints its arguments instead of running them."""
    path = tmp_path / 'python'
    path.write_text('#!/bin/sh\nfor a; do printf "%s|" "$a"; done\necho\necho "PYTHONPATH $PYTHONPATH"\n')
    path.chmod(0o755)
    return path


def run_script(repo_root: Path, script: str, *args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    keep = {
        name: value for name, value in os.environ.items() if name not in ('NNODES', 'NODE_RANK', 'PORT', 'MASTER_ADDR')
    }
    return subprocess.run(
        ['bash', str(repo_root / script), *args], cwd=cwd, env=keep | env, capture_output=True, text=True
    )


def test_dist_train_passes_everything_on(repo_root, fake_python, tmp_path):
    done = run_script(
        repo_root,
        'tools/dist_train.sh',
        'configs/a b.py',
        '2',
        '--amp',
        '--work-dir',
        'x y',
        cwd=tmp_path,
        PYTHON=str(fake_python),
        NNODES='3',
        NODE_RANK='1',
        PORT='1234',
        MASTER_ADDR='host0',
    )
    assert done.returncode == 0, done.stderr
    launcher = '-m torch.distributed.run --nnodes=3 --node_rank=1 --nproc_per_node=2 --master_addr=host0'.split()
    train = [f'{repo_root}/tools/train.py', 'configs/a b.py', '--launcher', 'pytorch', '--amp', '--work-dir', 'x y']
    assert done.stdout.splitlines()[0].split('|')[:-1] == [*launcher, '--master_port=1234', *train]
    assert str(repo_root) in done.stdout.splitlines()[1]


def test_dist_test_passes_everything_on(repo_root, fake_python, tmp_path):
    args = ('c.py', 'model.pth', '4', '--cfg-options', 'a=1 2')
    done = run_script(repo_root, 'tools/dist_test.sh', *args, cwd=tmp_path, PYTHON=str(fake_python))
    launcher = '-m torch.distributed.run --nnodes=1 --node_rank=0 --nproc_per_node=4 --master_addr=127.0.0.1'.split()
    test = [f'{repo_root}/tools/test.py', 'c.py', 'model.pth', '--launcher', 'pytorch', '--cfg-options', 'a=1 2']
    assert done.stdout.splitlines()[0].split('|')[:-1] == [*launcher, '--master_port=29500', *test]


def test_slurm_train_calls_srun(repo_root, fake_python, tmp_path):
    shutil.copy(fake_python, tmp_path / 'srun')
    done = run_script(
        repo_root,
        'tools/slurm_train.sh',
        'gpu',
        'job',
        'c.py',
        '--work-dir',
        'x y',
        cwd=tmp_path,
        PYTHON=str(fake_python),
        PATH=f'{tmp_path}:{os.environ["PATH"]}',
        GPUS='16',
        SRUN_ARGS='--time 60 --qos=high',
    )
    slurm = '-p gpu --job-name=job --gres=gpu:8 --ntasks=16 --ntasks-per-node=8 --cpus-per-task=5'.split()
    slurm += '--kill-on-bad-exit=1 --time 60 --qos=high'.split()
    train = [str(fake_python), '-u', f'{repo_root}/tools/train.py', 'c.py', '--launcher', 'slurm', '--work-dir', 'x y']
    assert done.stdout.splitlines()[0].split('|')[:-1] == [*slurm, *train]


@pytest.mark.parametrize('script', ['tools/dist_train.sh', 'tools/dist_test.sh', 'tools/slurm_train.sh'])
def test_scripts_say_how_they_are_called(repo_root, script, tmp_path):
    done = run_script(repo_root, script, 'only_one', cwd=tmp_path)
    assert done.returncode == 1 and f'expected: bash {script} ' in done.stderr


# ---- the environment of the scripts --------------------------------------------------------------------------------


def call_env(root: Path, level: str = 'runtime', **env: str) -> subprocess.CompletedProcess:
    code = f'set -euo pipefail; source "{root}/tools/_env.sh"; udatools_env {level}; echo "PYTHON $UDATOOLS_PYTHON"'
    return subprocess.run(['bash', '-c', code], cwd='/', env=dict(os.environ) | env, capture_output=True, text=True)


@pytest.fixture
def clone(repo_root, tmp_path):
    """A small copy of the checkout whose environment is a python that records what pip was asked for."""
    root = tmp_path / 'my clone'
    (root / 'tools').mkdir(parents=True)
    shutil.copy(repo_root / 'tools' / '_env.sh', root / 'tools')
    shutil.copy(repo_root / 'setup.py', root)
    shutil.copytree(repo_root / 'requirements', root / 'requirements')
    (root / '.venv' / 'bin').mkdir(parents=True)
    fake = root / '.venv' / 'bin' / 'python'
    fake.write_text(
        '#!/bin/sh\n'
        'case "$*" in\n'
        '  "-m pip --version") exit 0;;\n'
        f'  "-m pip install"*) echo "$*" >>"{root}/pip.log"; echo "Collecting torch==2 (from x)"; echo "noise"\n'
        f'     [ ! -f "{root}/offline" ] || {{ echo "ERROR: no network" >&2; exit 1; }};;\n'
        f'  *) exec "{sys.executable}" "$@";;\n'
        'esac\n'
    )
    fake.chmod(0o755)
    return root


def test_environment_is_installed_once_and_again_after_a_change(clone):
    first = call_env(clone)
    assert first.returncode == 0, first.stderr
    calls = (clone / 'pip.log').read_text().splitlines()
    assert len(calls) == 2
    assert calls[0].endswith(f'-r {clone}/requirements/runtime.txt')
    assert calls[1].endswith(f'--no-deps --no-build-isolation -e {clone}')
    assert '[udatools]   torch==2\n' in first.stdout and 'noise' not in first.stdout
    assert first.stdout.splitlines()[-1] == f'PYTHON {clone}/.venv/bin/python'

    again = call_env(clone)
    assert again.returncode == 0 and len((clone / 'pip.log').read_text().splitlines()) == 2
    with open(clone / 'requirements' / 'runtime.txt', 'a', encoding='utf-8') as file:
        file.write('# changed\n')
    assert call_env(clone).returncode == 0
    assert len((clone / 'pip.log').read_text().splitlines()) == 4
    assert call_env(clone, 'test').returncode == 0
    assert f'-r {clone}/requirements/test.txt' in (clone / 'pip.log').read_text()


def test_a_failed_installation_is_told_and_repeated(clone):
    (clone / 'offline').touch()
    failed = call_env(clone)
    assert failed.returncode == 1 and 'ERROR: no network' in failed.stderr and 'install.log' in failed.stderr
    (clone / 'offline').unlink()
    assert call_env(clone).returncode == 0


def test_old_or_missing_python_is_told(clone, tmp_path):
    shutil.rmtree(clone / '.venv')
    missing = call_env(clone, PYTHON='no-such-python')
    assert missing.returncode == 1 and "no 'no-such-python'" in missing.stderr and '3.10' in missing.stderr
    old = tmp_path / 'oldpython'
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.8.1" && exit 0\nexit 1\n')
    old.chmod(0o755)
    done = call_env(clone, PYTHON=str(old))
    assert done.returncode == 1 and 'Python 3.8.1 is too old' in done.stderr
    assert not (clone / '.venv').exists()


# ---- the wheel ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_wheel_holds_the_package_its_data_and_no_tests(repo_root, tmp_path):
    source = tmp_path / 'source'
    source.mkdir()
    for name in ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE', 'README.md', 'CHANGELOG.md'):
        if (repo_root / name).is_file():
            shutil.copy(repo_root / name, source)
    ignore = shutil.ignore_patterns('__pycache__')
    for name in ('udatools', 'tests', 'requirements'):
        shutil.copytree(repo_root / name, source / name, ignore=ignore)
    subprocess.run(
        [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation', '-w', str(tmp_path), '.'],
        cwd=source,
        check=True,
        capture_output=True,
        text=True,
    )
    (wheel,) = tmp_path.glob('udatools-*.whl')
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / 'site')
    expected = {
        path.relative_to(source).as_posix()
        for path in (source / 'udatools').rglob('*')
        if path.suffix in {'.py', '.json', '.css', '.safetensors'}
    }
    assert any(name.startswith('udatools/zoo/checkpoints/') for name in expected)
    assert len([name for name in expected if name.endswith('.json')]) >= 3
    assert expected - names == set()
    assert [name for name in names if not name.startswith(('udatools/', 'udatools-'))] == []
    assert [name for name in names if 'test' in Path(name).name and name.endswith('.py')] == []
    assert any(name.endswith('LICENSE') for name in names)
    code = (
        'import udatools, udatools.visualization.page as page; from mmseg.registry import MODELS; '
        'page.document("t", "h", "s", []); print(udatools.__file__); print(MODELS.get("UDASegmentor"))'
    )
    done = subprocess.run(
        [sys.executable, '-I', '-c', f'import sys; sys.path.insert(0, {str(tmp_path / "site")!r}); {code}'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(tmp_path / 'site' / 'udatools' / '__init__.py')
    assert 'UDASegmentor' in done.stdout.splitlines()[1]
