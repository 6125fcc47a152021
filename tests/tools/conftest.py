# SPDX-License-Identifier: Apache-2.0
"""What tests of the scripts share."""
import importlib.util

import pytest


@pytest.fixture(scope='session')
def load_tool(repo_root):
    """Function: the module of a script by its path below ``tools/``."""

    def load(path):
        spec = importlib.util.spec_from_file_location(path.removesuffix('.py').replace('/', '_'), repo_root / 'tools' / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope='session')
def script(load_tool):
    """Function: the ``main`` of a converter by name."""
    return lambda name: lambda *args: load_tool(f'dataset_converters/{name}.py').main([str(arg) for arg in args])
