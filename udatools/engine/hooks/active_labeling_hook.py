# SPDX-License-Identifier: Apache-2.0
"""Ask for labels before a stage trains: select with two models, ask the annotator, write all answers so far.

LabOR, Algorithm 1, lines 12-21 (Shin et al., ICCV 2021). The work is done by ``udatools.active.campaign``.
"""
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor

from udatools.active.budget import Budget
from udatools.active.campaign import ask_round
from udatools.active.ledger_merge import check_policy
from udatools.active.round_plan import Predict, RoundPlan, TargetSet
from udatools.engine.inference import TargetImages, predict_pair, predict_prob
from udatools.ops.digests import state_dict_digest
from udatools.registry import ANNOTATORS, HOOKS, SELECTORS

from .pseudo_label_hook import load_frozen, release_memory, restart_loader


@HOOKS.register_module()
class ActiveLabelingHook(Hook):
    """At ``before_train``: one round of active labelling.

    Args:
        selector (Mapping): config of ``SELECTORS``.
        annotator (Mapping): config of ``ANNOTATORS``.
        model (Mapping): config of the main model (A).
        checkpoint (str): its weights.
        dataset (Mapping): config of the target ``DomainDataset`` with the inference pipeline; read without labels.
        ledger (str): path of the label ledger.
        request_dir (str): folder of this round's request package.
        label_dir (str): folder of the label PNGs of all rounds.
        tag_file (str | None): JSON file for the classes of images, as :class:`udatools.models.objectives.WeakLabelClassification`
            reads it; for selectors that ask images as a whole.
        selector_model (Mapping | None): config of the ``PixelSelector`` (B); None for selectors that do not read it.
        selector_checkpoint (str | None): its weights.
        budget (Mapping | None): arguments of :class:`udatools.active.budget.Budget`; None asks for all candidates.
        round (int): this round, from 1.
        num_rounds (int): rounds of the campaign.
        panels (int): images whose prediction is kept for the report.
        seed (int): seed of selectors that draw.
        policy (str): what holds where several people answered differently: ``'first'``, ``'last'`` or ``'majority'``.

    Raises:
        ValueError: if the selector reads the pixel selector and none is given, or the budget does not count what it asks.
    """

    priority = 'NORMAL'

    def __init__(self, selector: Mapping[str, Any], annotator: Mapping[str, Any], *, model: Mapping[str, Any],
                 checkpoint: str, dataset: Mapping[str, Any], ledger: str, request_dir: str, label_dir: str,
                 tag_file: str | None = None,
                 selector_model: Mapping[str, Any] | None = None, selector_checkpoint: str | None = None,
                 budget: Mapping[str, Any] | None = None, round: int = 1, num_rounds: int = 1, panels: int = 4,
                 seed: int = 0, policy: str = 'first') -> None:
        self.selector = SELECTORS.build(dict(selector))
        self.annotator = ANNOTATORS.build(dict(annotator))
        self.model, self.checkpoint, self.dataset = model, checkpoint, dataset
        self.selector_model, self.selector_checkpoint = selector_model, selector_checkpoint
        self.paths = dict(ledger_path=ledger, request_dir=request_dir, label_dir=label_dir, tag_file=tag_file)
        self.policy = check_policy(policy)
        if {'prob1', 'prob2'} & set(self.selector.inputs) and not (selector_model and selector_checkpoint):
            raise ValueError(f'{type(self.selector).__name__} reads the two classifiers of a pixel selector; give '
                             'selector_model and selector_checkpoint')
        self.plan: dict[str, Any] = dict(
            round=int(round), num_rounds=int(num_rounds), seed=int(seed), panels=int(panels),
            budget=None if budget is None else Budget(**budget))
        if self.plan['budget'] is not None:
            self.plan['budget'].check_kind(self.selector.kind)

    def open_target(self) -> tuple[TargetSet, Predict, dict[str, torch.nn.Module]]:
        """The images that are asked about, without their labels, and the frozen models that choose.

        Returns:
            tuple: the set, ``predict(i, names)`` as of :func:`ask_round`, and the models by role; ``predict`` uses that
            dict, so clearing it gives their memory back.
        """
        images = TargetImages(dict(self.dataset))
        models: dict[str, torch.nn.Module] = {'main': load_frozen(self.model, self.checkpoint)}
        if self.selector_model and self.selector_checkpoint:
            models['selector'] = load_frozen(self.selector_model, self.selector_checkpoint)

        def predict(i: int, names: Sequence[str]) -> dict[str, Tensor]:
            outputs: dict[str, Tensor] = {}
            if 'prob' in names:
                outputs['prob'] = predict_prob(models['main'], images, i)
            if 'prob1' in names or 'prob2' in names:
                outputs['prob1'], outputs['prob2'] = predict_pair(models['selector'], images, i)
            if 'image' in names:
                outputs['image'] = images.native_image(i)
            return outputs

        metainfo = images.dataset.metainfo
        target = TargetSet(images.keys, [str(images.path(key)) for key in images.keys], metainfo['classes'],
                           metainfo['palette'], images.fingerprint())
        return target, predict, models

    def before_train(self, runner: Any) -> None:
        """Ask this round's question and write the labels, or continue where an earlier run was stopped.

        Raises:
            AnswersPending: on every rank, if people have not answered enough of it yet.
        """
        target, predict, models = self.open_target()
        weights = {name: state_dict_digest(model.state_dict()) for name, model in models.items()}
        plan = RoundPlan(weights=weights, inference=repr(self.dataset['pipeline']), run=runner.cfg.get('run_name', ''),
                         **self.plan)
        result = ask_round(plan, target, predict, self.selector, self.annotator, policy=self.policy,
                           **self.paths)
        if result.pending is not None:
            raise result.pending
        if result.unanswered:
            raise RuntimeError(f'{result.unanswered} images of the request in {result.request.root} have no answer; '
                               'answer them, then --resume: what is answered already is kept')
        runner.logger.info(f'labels after round {self.plan["round"]}: {result.spent["pixels"]} pixels in '
                           f'{result.spent["images"]} images, about {result.spent["seconds"] / 3600:.1f} hours of work')
        models.clear()
        release_memory()
        restart_loader(runner)
