# SPDX-License-Identifier: Apache-2.0
"""Registries of udatools.

Components are registered straight into the registries of mmseg (scope ``mmseg``), so that a stock mmseg config
reaches all of them through ``custom_imports = dict(imports=['udatools'])`` and stock mmseg names keep working
next to ours. Only kinds of components that mmseg does not have get a registry of their own; each carries the
scope ``mmseg`` too, and imports its package lazily through ``locations``.
"""
from mmengine.registry import FUNCTIONS, LOOPS, Registry
from mmseg.registry import (
                            DATA_SAMPLERS,
                            DATASETS,
                            HOOKS,
                            METRICS,
                            MODELS,
                            OPTIM_WRAPPER_CONSTRUCTORS,
                            OPTIM_WRAPPERS,
                            RUNNERS,
                            TRANSFORMS,
)

DOMAIN_TRANSFORMS = Registry('domain_transform', scope='mmseg', locations=['udatools.models.domain_transforms'])
OBJECTIVES = Registry('objective', scope='mmseg', locations=['udatools.models.objectives'])
FLOW_ESTIMATORS = Registry('flow_estimator', scope='mmseg', locations=['udatools.models.flow'])
PSEUDO_LABEL_POLICIES = Registry('pseudo_label_policy', scope='mmseg', locations=['udatools.pseudo_labels'])
IMAGE_RANKINGS = Registry('image_ranking', scope='mmseg', locations=['udatools.pseudo_labels'])
SELECTORS = Registry('selector', scope='mmseg', locations=['udatools.active.selectors'])
ANNOTATORS = Registry('annotator', scope='mmseg', locations=['udatools.active.annotators'])

__all__ = [
    'ANNOTATORS', 'DATASETS', 'DATA_SAMPLERS', 'DOMAIN_TRANSFORMS', 'FLOW_ESTIMATORS', 'FUNCTIONS', 'HOOKS', 'IMAGE_RANKINGS',
    'LOOPS', 'METRICS', 'MODELS', 'OBJECTIVES', 'OPTIM_WRAPPERS', 'OPTIM_WRAPPER_CONSTRUCTORS', 'PSEUDO_LABEL_POLICIES',
    'RUNNERS', 'SELECTORS', 'TRANSFORMS'
]
