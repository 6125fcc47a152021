# SPDX-License-Identifier: Apache-2.0
"""What tests that type commands share."""
import forked_python
import pytest


@pytest.fixture(scope='session')
def shell_environment():
    """Environment of a shell whose ``python`` starts in no time."""
    with forked_python.start() as environment:
        yield environment
