# SPDX-License-Identifier: Apache-2.0
"""Generate the pseudo-labels of a stage before it trains.

The stage's training set finds them on disk (``label_dir``), so nothing is handed over in memory and a resumed stage
finds the same files.
"""
import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner.loops import _InfiniteDataloaderIterator

from udatools.engine.inference import ImagePredictor, TargetImages, build_predictor
from udatools.ops.digests import json_digest, state_dict_digest
from udatools.pseudo_labels import (
    AggregatedPredictor,
    Predictor,
    PseudoLabelStore,
    frame_positions,
    generate_pseudo_labels,
    group_clips,
)
from udatools.registry import HOOKS, IMAGE_RANKINGS, PSEUDO_LABEL_POLICIES


def load_frozen(model: Mapping[str, Any], checkpoint: str | Path) -> torch.nn.Module:
    """``build_predictor`` that leaves the global random state as it was (building a model draws its first weights).

    Raises:
        FileNotFoundError: if there is no such checkpoint.
    """
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f'checkpoint {checkpoint} does not exist; the stage that writes it must be finished '
                                'first')
    with torch.random.fork_rng(devices=[]):
        return build_predictor(dict(model), checkpoint)


def release_memory() -> None:
    """Give the memory of models that are no longer referenced back before training starts."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def restart_loader(runner: Any) -> None:
    """Make the training loader start over, so that no batch loaded before the labels were written is used.

    Older mmengine starts the workers, which load ahead at once, when it builds the loop; newer starts them lazily and
    nothing is to be done.
    """
    iterator = getattr(getattr(runner, 'train_loop', None), 'dataloader_iterator', None)
    if getattr(iterator, '_iterator', None) is not None:
        runner.train_loop.dataloader_iterator = _InfiniteDataloaderIterator(runner.train_loop.dataloader)


def train_on_split(dataset: Any, split: Mapping[str, Sequence[str]]) -> None:
    """Leaves the easy images of a split to the source of a ``UDADataset``, the hard ones to its target.

    Raises:
        ValueError: when one of the two is missing, or cannot be restricted to some of its images.
    """
    for domain, part in (('source', 'easy'), ('target', 'hard')):
        images = getattr(dataset, domain, None)
        if not hasattr(images, 'restrict_to'):
            got = 'nothing' if images is None else type(images).__name__
            raise ValueError(f'the {part} images are to be the {domain} of the stage, which has {got} there; give it the target '
                             f"set as train_dataloader.dataset.{domain}{' with the label_dir' if domain == 'source' else ''}")
        images.restrict_to(split[part])
    print_log(f'images: {len(split["easy"])} easy, {len(split["hard"])} hard', logger='current')


@HOOKS.register_module()
class PseudoLabelHook(Hook):
    """At ``before_train``: pseudo-labels of the whole target set by a given model.

    Sharded over the ranks with the same files for any number of them; complete files of the same inputs are kept.

    Args:
        policy (Mapping): config of ``PSEUDO_LABEL_POLICIES``.
        model (Mapping): config of the model that predicts.
        checkpoint (str | Sequence[str]): its weights; of several the probabilities are averaged.
        dataset (Mapping): config of the target ``DomainDataset`` with the inference pipeline; read without labels.
        out_dir (str): folder for ``labels/``, ``confidence/`` and the summaries.
        views (Mapping, optional): ``dict(scales=[0.9], flip=True)``: rescaled and mirrored inputs whose probabilities
            are averaged; by default the image as it is.
        aggregation (Mapping, optional): arguments of :class:`udatools.pseudo_labels.AggregatedPredictor`
            (``dict(flow=dict(type='PrecomputedFlow', root=...))``): probabilities are averaged with those of neighbouring
            frames. It and a policy of clips need a video data set.
        ranking (Mapping, optional): config of ``IMAGE_RANKINGS``. The images are split into easy and hard ones
            (``split.json`` in ``out_dir``).
        intra_domain (bool): the stage trains on the easy images as its source and on the hard ones as its target: both domains
            of its ``UDADataset`` are target sets, the source with ``label_dir``. Needs a ranking.

    Raises:
        ValueError: for unknown views, or ``intra_domain`` without a ranking.
    """

    priority = 'NORMAL'

    def __init__(self, policy: Mapping[str, Any], *, model: Mapping[str, Any], checkpoint: str | Sequence[str],
                 dataset: Mapping[str, Any], out_dir: str, views: Mapping[str, Any] | None = None,
                 aggregation: Mapping[str, Any] | None = None, ranking: Mapping[str, Any] | None = None,
                 intra_domain: bool = False) -> None:
        self.policy = PSEUDO_LABEL_POLICIES.build(dict(policy))
        self.model, self.dataset = model, dataset
        self.checkpoints = [checkpoint] if isinstance(checkpoint, str) else list(checkpoint)
        self.out_dir = out_dir
        self.views = dict(views or {})
        if unknown := self.views.keys() - {'scales', 'flip'}:
            raise ValueError(f'views has unknown keys {sorted(unknown)}; expected scales and flip')
        self.aggregation = None if aggregation is None else dict(aggregation)
        self.ranking = None if ranking is None else IMAGE_RANKINGS.build(dict(ranking))
        if intra_domain and ranking is None:
            raise ValueError('intra_domain=True trains on easy and hard images; give ranking, such as '
                             "dict(type='EntropyRanking')")
        self.intra_domain = intra_domain

    def before_train(self, runner: Any) -> None:
        """Generate, or keep what is complete."""
        self._generate()
        if self.intra_domain:
            train_on_split(runner.train_dataloader.dataset, PseudoLabelStore(self.out_dir).read_split())
        release_memory()
        restart_loader(runner)

    def _generate(self) -> None:
        images = TargetImages(dict(self.dataset))
        models = [load_frozen(self.model, checkpoint) for checkpoint in self.checkpoints]
        single = ImagePredictor(models, images, **self.views)
        predictor: Predictor = single
        classes = list(images.dataset.metainfo['classes'])
        inputs: dict[str, Any] = dict(
            weights=[state_dict_digest(model.state_dict()) for model in models], policy=self.policy.settings(), classes=classes,
            dataset=images.fingerprint(), pipeline=repr(self.dataset['pipeline']),
            views=dict(scales=single.scales, flip=single.flip))
        clips = None
        if self.aggregation is not None or self.policy.instance == 'clip':
            positions = frame_positions(images.dataset, images.keys)
            clips = group_clips(positions, self.policy.clip_length)
            inputs['clips'] = list(map(list, positions))
        if self.aggregation is not None:
            predictor = AggregatedPredictor(single, images, positions, **self.aggregation)
            inputs['aggregation'] = predictor.settings()
        if self.ranking is not None:
            inputs['ranking'] = self.ranking.settings()
        generate_pseudo_labels(
            predictor, images.keys, self.policy, PseudoLabelStore(self.out_dir), len(classes), clips=clips, ranking=self.ranking,
            input_hash=json_digest(inputs), class_names=classes)
