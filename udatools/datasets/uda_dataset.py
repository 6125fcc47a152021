# SPDX-License-Identifier: Apache-2.0
"""Source and target together, paired by a counter instead of by state.

``dataset[counter]`` is a pure function of ``(seed, counter)``: each domain runs through its own permutations (one an
epoch, derived from seed, domain and epoch) and each item gets its own augmentation randomness (derived from seed,
domain and counter). So resuming is starting at another counter, workers and ranks change nothing, and domains of equal
size do not meet in the same pairs every epoch. The usual product of lengths, or two samplers seeded alike, give none
of that.
"""
from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from udatools.datasets.rare_class_sampling import RareClassSampling
from udatools.datasets.taxonomies import find_class_set, get_class_set
from udatools.registry import DATASETS
from udatools.utils.rng import make_generator, scoped_rng

DOMAINS = ('source', 'target')


@lru_cache(maxsize=8)
def domain_permutation(seed: int, domain: str, epoch: int, length: int) -> np.ndarray:
    """Returns the order in which a domain is visited in an epoch: int64, (length,), a permutation."""
    return make_generator(seed, 'order', domain, epoch).permutation(length)


def check_same_classes(source: dict, target: dict) -> None:
    """Raises if the class lists of two metainfos differ.

    Args:
        source (dict): metainfo with ``classes``.
        target (dict): metainfo with ``classes``.

    Raises:
        ValueError: Says how many classes each has, which are missing where, and what to choose.
    """
    source_classes, target_classes = list(source['classes']), list(target['classes'])
    if source_classes == target_classes:
        return
    gone = [name for name in source_classes if name not in target_classes]
    extra = [name for name in target_classes if name not in source_classes]
    parts = []
    if gone:
        parts.append(f'missing {", ".join(gone)}' if not extra else f'target lacks {", ".join(gone)}')
    if extra:
        parts.append(f'source lacks {", ".join(extra)}')
    if not parts:
        parts.append('the same names in another order')
    names = [find_class_set(classes) for classes in (source_classes, target_classes)]
    common = next((name for name in names if name and set(get_class_set(name).classes) <= set(source_classes)
                   and set(get_class_set(name).classes) <= set(target_classes)), None)
    remedy = f"choose classes='{common}'" if common else 'give both domains the same `classes`'
    raise ValueError(f'source has {len(source_classes)} classes, target {len(target_classes)}: {"; ".join(parts)}; '
                     f'{remedy}')


@DATASETS.register_module()
class UDADataset(Dataset):
    """Pairs a source and a target data set; either may be absent.

    ``dataset[counter]`` gives ``{'inputs': {'source': Tensor, 'target': Tensor}, 'data_samples': {...}}`` for any
    counter >= 0; a missing domain is a missing key. The length, a mere unit of progress, is the longer of the two.
    Use with :class:`CounterSampler`, which sets the seed.

    Args:
        source (dict | Dataset, optional): A labelled domain (ground truth or ``label_dir``).
        target (dict | Dataset, optional): A domain without ground truth (``labelled=False``); its labels, if any, are
            those of its ``label_dir``.
        seed (int): Used until :meth:`set_seed` is called. Default: 0.
        rare_classes (Mapping, optional): Arguments of :class:`RareClassSampling`: source items are drawn by their classes, with
            replacement, instead of from permutations. The target is drawn as ever. Default: None.

    Raises:
        ValueError: If both are absent, one is empty, the classes of the two differ, the source has no labels, the target
            has ground truth, or rare classes are to be drawn without a source.
    """

    def __init__(self, source: dict | Dataset | None = None, target: dict | Dataset | None = None, seed: int = 0,
                 rare_classes: Mapping[str, Any] | None = None):
        given = {'source': source, 'target': target}
        self.domains: dict[str, Any] = {
            name: DATASETS.build(domain) if isinstance(domain, dict) else domain
            for name, domain in given.items() if domain is not None
        }
        if not self.domains:
            raise ValueError('UDADataset got neither source nor target; give at least one of them')
        for name, domain in self.domains.items():
            if hasattr(domain, 'full_init'):
                domain.full_init()
            if len(domain) == 0:
                raise ValueError(f'the {name} domain has no images; check its data_root and split')
        self._check_labels()
        if len(self.domains) == 2:
            check_same_classes(*(self.domains[name].metainfo for name in DOMAINS))
        self.seed = int(seed)
        if rare_classes is not None and self.source is None:
            raise ValueError('UDADataset got rare_classes without a source; they are drawn from its ground truth: give a source, '
                             'or set rare_classes=None')
        self.rare_classes = None if rare_classes is None else RareClassSampling(self.source, **rare_classes)

    def _check_labels(self) -> None:
        source, target = self.domains.get('source'), self.domains.get('target')
        if source is not None and not getattr(source, 'labelled', True) and getattr(source, 'label_dir', None) is None:
            raise ValueError('the source domain has no labels (labelled=False); set labelled=True, give a label_dir, '
                             'or pass it as target')
        if getattr(target, 'labelled', False):
            raise ValueError('the target domain has labelled=True: a target training set never opens ground truth. Set '
                             'labelled=False (and label_dir for pseudo-labels or answers); for a supervised baseline '
                             'pass the labelled set as source')

    @property
    def source(self) -> Any:
        """Dataset | None: The source domain."""
        return self.domains.get('source')

    @property
    def target(self) -> Any:
        """Dataset | None: The target domain."""
        return self.domains.get('target')

    @property
    def metainfo(self) -> dict[str, Any]:
        """dict: Classes and palette, the same for both domains."""
        return next(iter(self.domains.values())).metainfo

    def set_seed(self, seed: int) -> None:
        """Sets the seed that order and augmentation derive from; called by the sampler before workers start."""
        self.seed = int(seed)

    def full_init(self) -> None:
        """Nothing is left to do; mmengine asks."""

    def __len__(self) -> int:
        return max(len(domain) for domain in self.domains.values())

    def domain_index(self, domain: str, counter: int) -> int:
        """Returns which item of a domain a counter stands for.

        Args:
            domain (str): ``source`` or ``target``.
            counter (int): >= 0, global over ranks.

        Returns:
            int: 0 <= index < length of the domain; every block of that length visits each index once, but where rare classes
            are drawn.
        """
        if domain == 'source' and self.rare_classes is not None:
            return self.rare_classes.draw(self.seed, counter)[0]
        length = len(self.domains[domain])
        epoch, position = divmod(counter, length)
        return int(domain_permutation(self.seed, domain, epoch, length)[position])

    def load(self, domain: str, counter: int) -> tuple[dict[str, Any], tuple[int | str, ...]]:
        """Loads the item of one domain.

        Args:
            domain (str): ``source`` or ``target``.
            counter (int): >= 0, global over ranks.

        Returns:
            tuple: The packed item, and what its augmentation was derived from, as :func:`scoped_rng` takes it.
        """
        tags: tuple[int | str, ...] = (self.seed, 'augmentation', domain, counter)
        if domain != 'source' or self.rare_classes is None:
            with scoped_rng(*tags):
                return self.domains[domain][self.domain_index(domain, counter)], tags
        index, train_id = self.rare_classes.draw(self.seed, counter)
        for attempt in range(self.rare_classes.attempts):
            own = (*tags, attempt) if attempt else tags
            with scoped_rng(*own):
                packed = self.domains[domain][index]
            if self.rare_classes.is_left(packed, train_id):
                break
        return packed, own

    def __getitem__(self, counter: int) -> dict[str, dict[str, Any]]:
        if counter < 0:
            raise IndexError(f'UDADataset got the counter {counter}; expected 0 or more')
        item: dict[str, dict[str, Any]] = {'inputs': {}, 'data_samples': {}}
        for name in self.domains:
            packed, _ = self.load(name, counter)
            for field in item:
                item[field][name] = packed[field]
        return item

    def describe(self) -> dict[str, Any]:
        """Returns the descriptions of the domains, and of how rare classes are drawn."""
        about = {
            name: domain.describe() if hasattr(domain, 'describe') else dict(type=type(domain).__name__,
                                                                             images=len(domain))
            for name, domain in self.domains.items()
        }
        return about if self.rare_classes is None else dict(about, rare_classes=self.rare_classes.describe())
