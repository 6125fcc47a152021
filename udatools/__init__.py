# SPDX-License-Identifier: Apache-2.0
"""udatools: domain adaptation of semantic segmentation as a plugin of MMSegmentation 1.x.

Importing the package checks the environment (:mod:`udatools.compat`) and registers every component into the
registries of mmseg, so that ``custom_imports = dict(imports=['udatools'])`` is all that a config needs.
"""

from .compat import prepare as _prepare
from .version import __version__

_prepare()

from . import active, datasets, engine, evaluation, models, pseudo_labels, visualization  # noqa: E402

__all__ = ['__version__', 'active', 'datasets', 'engine', 'evaluation', 'models', 'pseudo_labels', 'visualization']
