# SPDX-License-Identifier: Apache-2.0
"""udatools: domain adaptation of semantic segmentation as a plugin of MMSegmentation 1.x.

Importing the package checks the environment (:mod:`udatools.compat`) and registers every component into the
registries of mmseg, so that ``custom_imports = dict(imports=['udatools'])`` is all that a config needs.
"""

import importlib as _importlib
import importlib.util as _util

from .compat import prepare as _prepare
from .version import __version__

_prepare()

for _name in ('datasets', 'models', 'engine', 'evaluation', 'pseudo_labels', 'active', 'visualization'):
    # TEMPORARY: packages that are not written yet
    if _util.find_spec(f'{__name__}.{_name}') is not None:
        try:
            _importlib.import_module(f'{__name__}.{_name}')
        except Exception as _error:  # TEMPORARY: half-written packages of colleagues
            import traceback

            traceback.print_exc(limit=-3)
            print(f'TEMPORARY: udatools.{_name} failed to import: {_error!r}')

__all__ = ['__version__']
