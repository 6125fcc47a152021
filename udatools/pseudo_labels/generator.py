# SPDX-License-Identifier: Apache-2.0
"""Generate the pseudo-labels of a whole set, on any number of processes, with one result.

Images are interleaved over the ranks (``i = step * world + rank``). At every step the ranks exchange the sparse
histograms of their images. A streaming policy's recursion is run by all of them through the block in data-set order; a
whole-set policy is fitted once, and each rank keeps its *compact* predictions (low-resolution logits, not probabilities)
in a spool until then. A policy of clips has whole clips interleaved, and the winners of a clip in the spool. So the
network runs once, memory beyond the batch is O(classes x bins), no probability goes to disk, and one process and eight
write the same files.
"""
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
from mmengine.dist import all_gather_object, barrier, get_rank, get_world_size
from mmengine.logging import print_log
from torch import Tensor

from udatools.ops.histograms import SparseHistogram, WinningPrediction, merge_histograms

from .policies import PseudoLabel, PseudoLabelPolicy
from .ranking import ImageRanking
from .spool import Spool
from .store import PseudoLabelStore


class Predictor(Protocol):
    """What predicts an image, in two steps, so that the result of the expensive one can be kept cheaply."""

    def infer(self, index: int) -> Any:
        """Run the network on one image; small, picklable, on the CPU."""

    def expand(self, compact: Any) -> Tensor:
        """Probabilities from what :meth:`infer` gave: float (C, H, W) at native resolution; the same bits each time."""


class GenerationSummary(NamedTuple):
    """Outcome of a generation.

    Attributes:
        generated (bool): False when the finished files of an earlier run were reused.
        coverage (dict): what ``coverage.json`` holds: numbers of pixels in all and per class. ``predicted`` counts
            the argmax, ``kept`` the labels; a policy whose labels are not the argmax may keep more of a class.
    """
    generated: bool
    coverage: dict[str, Any]


class _Local(NamedTuple):
    """What one rank has for one step."""
    prob: Tensor
    winner: WinningPrediction
    histogram: SparseHistogram


def _exchange(value: Any, error: BaseException | None) -> list[Any]:
    """All-gather; an error on any rank is raised on all of them instead of leaving the others waiting."""
    gathered = all_gather_object((value, None if error is None else f'{type(error).__name__}: {error}'))
    if error is not None:
        raise error
    for rank, (_, message) in enumerate(gathered):
        if message is not None:
            raise RuntimeError(f'rank {rank} failed while generating pseudo-labels: {message}')
    return [item for item, _ in gathered]


def _prediction(predictor: Predictor, compact: Any, num_classes: int) -> Tensor:
    """Probabilities (C, H, W) of what the network answered, of the right number of classes."""
    prob = predictor.expand(compact)
    if prob.ndim != 3 or prob.shape[0] != num_classes:
        raise ValueError(f'the model predicts shape {tuple(prob.shape)}; expected ({num_classes}, H, W): '
                         'the classes of the model and of the data set must be the same')
    return prob


def _report(before: int, done: int, count: int, what: str) -> None:
    """A line of progress for every tenth."""
    every = max(1, count // 10)
    if done == count or done // every > before // every:
        print_log(f'pseudo-labels: {done}/{count} {what} predicted', logger='current')


def _steps(predictor: Predictor, policy: PseudoLabelPolicy, count: int, num_classes: int,
           spool: Spool | None) -> Iterator[tuple[int, _Local | None, list[SparseHistogram | None]]]:
    """Yield (first index of the block, this rank's prediction, histograms of the block in data-set order)."""
    rank, world = get_rank(), get_world_size()
    for start in range(0, count, world):
        local, error = None, None
        if start + rank < count:
            try:
                compact = predictor.infer(start + rank)
                prob = _prediction(predictor, compact, num_classes)
                winner = policy.winner(prob)
                local = _Local(prob, winner, policy.statistics(winner, num_classes))
                if spool is not None:
                    spool.write(compact)
            except Exception as caught:  # re-raised by _exchange on every rank
                error = caught
        yield start, local, _exchange(None if local is None else local.histogram, error)
        _report(start, min(start + world, count), count, 'images')


class _Writer:
    """Labels, writes and counts the images of one rank.

    An error inside :meth:`guard` is told to the other ranks at the end, so that none is left waiting, and the rest of
    the images is passed over; a single rank raises at once.
    """

    def __init__(self, policy: PseudoLabelPolicy, store: PseudoLabelStore, num_classes: int,
                 ranking: ImageRanking | None = None) -> None:
        self.policy, self.store, self.ranking = policy, store, ranking
        self.difficulties: dict[str, float] = {}
        self.kept: np.ndarray = np.zeros(num_classes, np.int64)
        self.predicted: np.ndarray = np.zeros(num_classes, np.int64)
        self.error: Exception | None = None

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Keeps the first error."""
        try:
            yield
        except Exception as caught:
            if get_world_size() == 1:
                raise
            self.error = caught

    def label(self, key: str, prob: Tensor, winner: WinningPrediction, theta: np.ndarray) -> None:
        """One image, from its probabilities."""
        if self.ranking is not None:
            self.difficulties[key] = self.ranking.difficulty(prob, winner, theta)
        self.write(key, winner, self.policy.label(prob, winner, theta))

    def write(self, key: str, winner: WinningPrediction, pseudo_label: PseudoLabel) -> None:
        """One image."""
        num_classes = len(self.kept)
        self.store.write(key, pseudo_label.label, pseudo_label.confidence)
        self.predicted += np.bincount(winner.label.ravel(), minlength=num_classes)
        self.kept += np.bincount(pseudo_label.label.ravel(), minlength=256)[:num_classes]

    def summary(self, images: int, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Coverage, and the split where images are ranked, of all ranks; collective."""
        of_ranks = _exchange((self.kept, self.predicted, self.difficulties), self.error)
        kept, predicted = (np.sum([rank[part] for rank in of_ranks], axis=0) for part in (0, 1))
        split = None
        if self.ranking is not None:
            split = self.ranking.split({key: value for _, _, found in of_ranks for key, value in found.items()})
        coverage = dict(
            images=images,
            pixels=int(predicted.sum()),
            kept_pixels=int(kept.sum()),
            kept_share=float(kept.sum() / max(1, predicted.sum())),
            classes={
                name: dict(predicted=int(p), kept=int(k), kept_share=float(k / p) if p else 0.0)
                for name, p, k in zip(names, predicted, kept)
            })
        return coverage, split


def generate_pseudo_labels(predictor: Predictor,
                           keys: Sequence[str],
                           policy: PseudoLabelPolicy,
                           store: PseudoLabelStore,
                           num_classes: int,
                           *,
                           clips: Mapping[str, Sequence[int]] | None = None,
                           ranking: ImageRanking | None = None,
                           input_hash: str = '',
                           class_names: Sequence[str] | None = None) -> GenerationSummary:
    """Write the pseudo-label of every image into ``store``.

    Collective: every rank calls it with the same arguments. A streaming policy labels an image with its thresholds
    after the step of that image, or of that clip, a whole-set policy all images with those of the set.

    Args:
        predictor (Predictor): predicts an image; ``infer`` is called once for each image that this rank is given.
        keys (Sequence[str]): identities of the images, in data-set order.
        policy (PseudoLabelPolicy): thresholds and the rule for labels.
        store (PseudoLabelStore): where the files go.
        num_classes (int): number of classes.
        clips (Mapping[str, Sequence[int]] | None): positions in ``keys`` of the frames of each clip, in the order of time;
            every image in one clip. Only for a policy of clips, which needs it.
        ranking (ImageRanking | None): tells easy images from hard ones; the split goes into ``split.json``.
        input_hash (str): hash of everything the labels depend on; a finished store with this hash is left as it is,
            one with another hash or half-done is redone.
        class_names (Sequence[str] | None): names for ``coverage.json``; numbers if None.

    Returns:
        GenerationSummary: whether it was generated now, and the coverage.

    Raises:
        ValueError: if the set is empty, the model predicts another number of classes, a policy of clips is not told the
            clips or is to rank images.
        RuntimeError: on the ranks that did not fail themselves, naming the rank that did.
    """
    if len(keys) == 0:
        raise ValueError('the target set is empty: there is no image to make a pseudo-label for; '
                         'check data_root and split of the target data set')
    if len(set(keys)) != len(keys):
        raise ValueError(f'{len(keys) - len(set(keys))} image keys occur twice; they name the label files')
    names = [str(i) for i in range(num_classes)] if class_names is None else list(class_names)
    if len(names) != num_classes:
        raise ValueError(f'{len(names)} class names for {num_classes} classes')
    if policy.instance == 'clip':
        if clips is None or sorted(index for frames in clips.values() for index in frames) != list(range(len(keys))):
            got = 'none' if clips is None else f'{len(clips)} of other images'
            raise ValueError(f'{type(policy).__name__} labels clip by clip; got clips: {got}; expected clips that hold each of '
                             f'the {len(keys)} images once')
        if ranking is not None:
            raise ValueError(f'{type(policy).__name__} labels with the winners of a clip, {type(ranking).__name__} ranks images '
                             'by their probabilities; use a policy for images')
    # Rank 0 decides for all: ranks must not part ways over what each sees on a shared disk.
    done = all_gather_object(
        store.is_done(input_hash, keys, with_split=ranking is not None) if get_rank() == 0 else None)[0]
    if done:
        print_log(f'pseudo-labels in {store.out_dir} are complete for these inputs: reused', logger='current')
        return GenerationSummary(False, store.read_coverage())
    if get_rank() == 0:
        store.begin()
    barrier()

    writer = _Writer(policy, store, num_classes, ranking)
    trace: dict[str, list[float]] = {}
    if policy.needs_whole_set:
        theta = _label_whole_set(predictor, keys, policy, writer, num_classes)
    elif policy.instance == 'clip':
        assert clips is not None
        theta = _label_clips(predictor, keys, clips, policy, writer, num_classes, trace)
    else:
        theta = _label_stream(predictor, keys, policy, writer, num_classes, trace)
    coverage, split = writer.summary(len(keys), names)
    if get_rank() == 0:
        thresholds = dict(policy=policy.settings(), final=dict(zip(names, theta.tolist())))
        thresholds['clips' if policy.instance == 'clip' else 'images'] = trace
        store.finish(input_hash, thresholds, coverage, split)
        print_log(f'pseudo-labels: {coverage["kept_share"]:.1%} of {coverage["pixels"]} pixels kept, in '
                  f'{store.out_dir}', logger='current')
    barrier()
    return GenerationSummary(True, coverage)


def _label_stream(predictor: Predictor, keys: Sequence[str], policy: PseudoLabelPolicy, writer: _Writer,
                  num_classes: int, trace: dict[str, list[float]]) -> np.ndarray:
    """Thresholds after the last image; those of each image go into ``trace``."""
    theta = policy.initial_thresholds(num_classes)
    for start, local, block in _steps(predictor, policy, len(keys), num_classes, None):
        own_theta = theta
        for offset, histogram in enumerate(block):
            if histogram is None:
                continue
            theta = policy.step(theta, histogram)
            trace[keys[start + offset]] = theta.tolist()
            if offset == get_rank():
                own_theta = theta
        if local is not None and writer.error is None:
            with writer.guard():
                writer.label(keys[start + get_rank()], local.prob, local.winner, own_theta)
    return theta


def _label_clips(predictor: Predictor, keys: Sequence[str], clips: Mapping[str, Sequence[int]], policy: PseudoLabelPolicy,
                 writer: _Writer, num_classes: int, trace: dict[str, list[float]]) -> np.ndarray:
    """As :func:`_label_stream`, a clip a step; the winners of its frames wait in the spool for its thresholds."""
    rank, world, names = get_rank(), get_world_size(), list(clips)
    theta = policy.initial_thresholds(num_classes)
    for start in range(0, len(names), world):
        frames = clips[names[start + rank]] if start + rank < len(names) else []
        with ExitStack() as stack:
            histogram, error, spool = None, None, None
            if frames:
                try:
                    spool = stack.enter_context(Spool(writer.store.out_dir))
                    histogram = clip_statistics(predictor, frames, policy, num_classes, spool)
                except Exception as caught:  # re-raised by _exchange on every rank
                    error = caught
            own_theta = theta
            for offset, of_clip in enumerate(_exchange(histogram, error)):
                if of_clip is None:
                    continue
                theta = policy.step(theta, of_clip)
                trace[names[start + offset]] = theta.tolist()
                if offset == rank:
                    own_theta = theta
            if spool is not None and writer.error is None:
                with writer.guard():
                    spool.rewind()
                    for index in frames:
                        winner = spool.read()
                        writer.write(keys[index], winner, policy.label_winner(winner, own_theta))
        _report(start, min(start + world, len(names)), len(names), 'clips')
    return theta


def clip_statistics(predictor: Predictor, frames: Iterable[int], policy: PseudoLabelPolicy, num_classes: int,
                    spool: Spool | None = None) -> SparseHistogram:
    """The histogram of all frames of a clip, one probability map in memory at a time; their winners go into the spool."""
    total = merge_histograms([])
    for index in frames:
        winner = policy.winner(_prediction(predictor, predictor.infer(index), num_classes))
        if spool is not None:
            spool.write(winner)
        total = merge_histograms([total, policy.statistics(winner, num_classes)])
    return total


def _label_whole_set(predictor: Predictor, keys: Sequence[str], policy: PseudoLabelPolicy, writer: _Writer,
                     num_classes: int) -> np.ndarray:
    """Thresholds of the set."""
    with ExitStack() as stack:
        spool, error = None, None
        try:
            spool = stack.enter_context(Spool(writer.store.out_dir))
        except OSError as caught:
            error = caught
        _exchange(None, error)
        total = merge_histograms([])
        for _, _, block in _steps(predictor, policy, len(keys), num_classes, spool):
            total = merge_histograms([total, *(histogram for histogram in block if histogram is not None)])
        theta = policy.fit(total, num_classes)
        with writer.guard():
            assert spool is not None
            spool.rewind()
            for index in range(get_rank(), len(keys), get_world_size()):
                prob = predictor.expand(spool.read())
                writer.label(keys[index], prob, policy.winner(prob), theta)
    return theta
