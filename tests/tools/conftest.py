# SPDX-License-Identifier: Apache-2.0
"""What tests of the scripts share."""
import importlib.util

import pytest


@pytest.fixture(scope='module')
def script(repo_root):
    """Function: the ``main`` of a script by name."""

    def load(name):
        path = repo_root / 'tools' / 'dataset_converters' / f'{name}.py'
        spec = importlib.util.spec_from_file_location(f'convert_{name}', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return lambda *args: module.main([str(arg) for arg in args])

    return load


@pytest.fixture(scope='session')
def load_tool(repo_root):
    """Function: the module of a script by its path below ``tools/``."""

    def load(path):
        spec = importlib.util.spec_from_file_location(path.removesuffix('.py').replace('/', '_'), repo_root / 'tools' / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
