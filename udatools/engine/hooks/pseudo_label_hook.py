# SPDX-License-Identifier: Apache-2.0
"""Generate the pseudo-labels of a stage before it trains.

The stage's training set finds them on disk (``label_dir``), so nothing is handed over in memory and a resumed stage
finds the same files.
"""
import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner.loops import _InfiniteDataloaderIterator

from udatools.engine.inference import TargetImages, build_predictor, predict_prob
from udatools.ops.digests import json_digest, state_dict_digest
from udatools.pseudo_labels import PseudoLabelStore, generate_pseudo_labels
from udatools.registry import HOOKS, PSEUDO_LABEL_POLICIES


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


@HOOKS.register_module()
class PseudoLabelHook(Hook):
    """At ``before_train``: pseudo-labels of the whole target set by a given model.

    Sharded over the ranks with the same files for any number of them; complete files of the same inputs are kept.

    Args:
        policy (Mapping): config of ``PSEUDO_LABEL_POLICIES``.
        model (Mapping): config of the model that predicts.
        checkpoint (str): its weights.
        dataset (Mapping): config of the target ``DomainDataset`` with the inference pipeline; read without labels.
        out_dir (str): folder for ``labels/``, ``confidence/`` and the summaries.
    """

    priority = 'NORMAL'

    def __init__(self, policy: Mapping[str, Any], *, model: Mapping[str, Any], checkpoint: str,
                 dataset: Mapping[str, Any], out_dir: str) -> None:
        self.policy = PSEUDO_LABEL_POLICIES.build(dict(policy))
        self.model, self.checkpoint, self.dataset = model, checkpoint, dataset
        self.out_dir = out_dir

    def before_train(self, runner: Any) -> None:
        """Generate, or keep what is complete."""
        self._generate()
        release_memory()
        restart_loader(runner)

    def _generate(self) -> None:
        images = TargetImages(dict(self.dataset))
        model = load_frozen(self.model, self.checkpoint)
        classes = list(images.dataset.metainfo['classes'])
        input_hash = json_digest(
            dict(weights=state_dict_digest(model.state_dict()), policy=self.policy.settings(), classes=classes,
                 dataset=images.fingerprint(), pipeline=repr(self.dataset['pipeline'])))
        generate_pseudo_labels(
            lambda i: predict_prob(model, images, i), images.keys, self.policy, PseudoLabelStore(self.out_dir),
            len(classes), input_hash=input_hash, class_names=classes)
