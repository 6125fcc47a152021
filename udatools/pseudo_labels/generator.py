# SPDX-License-Identifier: Apache-2.0
"""Generate the pseudo-labels of a whole set, on any number of processes, with one result.

Images are interleaved over the ranks (``i = step * world + rank``). At every step the ranks exchange the sparse
histograms of their images and each runs the policy's recursion through the block in data-set order. So a streaming
policy needs one pass of inference, no probability goes to disk, and one process and eight write the same files.
"""
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from mmengine.dist import all_gather_object, barrier, get_rank, get_world_size
from mmengine.logging import print_log
from torch import Tensor

from udatools.ops.histograms import SparseHistogram, WinningPrediction, class_histogram, merge_histograms, winning_prediction
from udatools.ops.thresholds import keep_confident

from .policies import PseudoLabelPolicy
from .store import PseudoLabelStore


class GenerationSummary(NamedTuple):
    """Outcome of a generation.

    Attributes:
        generated (bool): False when the finished files of an earlier run were reused.
        coverage (dict): what ``coverage.json`` holds.
    """
    generated: bool
    coverage: dict[str, Any]


class _Local(NamedTuple):
    """What one rank has for one step."""
    prediction: WinningPrediction
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


def _steps(predict: Callable[[int], Tensor], count: int, num_classes: int,
           what: str) -> Iterator[tuple[int, _Local | None, list[SparseHistogram | None]]]:
    """Yield (first index of the block, this rank's prediction, histograms of the block in data-set order)."""
    rank, world = get_rank(), get_world_size()
    report_every = max(1, count // 10)
    for start in range(0, count, world):
        local, error = None, None
        if start + rank < count:
            try:
                prob = predict(start + rank)
                if prob.ndim != 3 or prob.shape[0] != num_classes:
                    raise ValueError(f'the model predicts shape {tuple(prob.shape)}; expected ({num_classes}, H, W): '
                                     'the classes of the model and of the data set must be the same')
                prediction = winning_prediction(prob)
                local = _Local(prediction, class_histogram(*prediction, num_classes))
            except Exception as caught:  # re-raised by _exchange on every rank
                error = caught
        yield start, local, _exchange(None if local is None else local.histogram, error)
        done = min(start + world, count)
        if done == count or done // report_every > start // report_every:
            print_log(f'{what}: {done}/{count} images', logger='current')


def generate_pseudo_labels(predict: Callable[[int], Tensor],
                           keys: Sequence[str],
                           policy: PseudoLabelPolicy,
                           store: PseudoLabelStore,
                           num_classes: int,
                           *,
                           input_hash: str = '',
                           class_names: Sequence[str] | None = None) -> GenerationSummary:
    """Write the pseudo-label of every image into ``store``.

    Collective: every rank calls it with the same arguments. A pixel is kept iff its winning probability, rounded to
    float16, is at least the threshold of its class after the step of its image.

    Args:
        predict (Callable): index -> Tensor float (C, H, W), probabilities at native resolution.
        keys (Sequence[str]): identities of the images, in data-set order.
        policy (PseudoLabelPolicy): thresholds.
        store (PseudoLabelStore): where the files go.
        num_classes (int): number of classes.
        input_hash (str): hash of everything the labels depend on; a finished store with this hash is left as it is,
            one with another hash or half-done is redone.
        class_names (Sequence[str] | None): names for ``coverage.json``; numbers if None.

    Returns:
        GenerationSummary: whether it was generated now, and the coverage.

    Raises:
        ValueError: if the set is empty or the model predicts another number of classes.
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
    # Rank 0 decides for all: ranks must not part ways over what each sees on a shared disk.
    done = all_gather_object(store.is_done(input_hash, keys) if get_rank() == 0 else None)[0]
    if done:
        print_log(f'pseudo-labels in {store.out_dir} are complete for these inputs: reused', logger='current')
        return GenerationSummary(False, store.read_coverage())
    if get_rank() == 0:
        store.begin()
    barrier()

    theta = policy.initial_thresholds(num_classes)
    if policy.needs_whole_set:
        total: list[SparseHistogram] = []
        for _, _, block in _steps(predict, len(keys), num_classes, 'pseudo-label statistics'):
            total = [merge_histograms([*total, *(h for h in block if h is not None)])]
        theta = policy.fit(merge_histograms(total), num_classes)

    trace: dict[str, list[float]] = {}
    kept: np.ndarray = np.zeros(num_classes, np.int64)
    predicted: np.ndarray = np.zeros(num_classes, np.int64)
    write_error: Exception | None = None
    for start, local, block in _steps(predict, len(keys), num_classes, 'pseudo-labels'):
        own_theta = theta
        for offset, histogram in enumerate(block):
            if histogram is None:
                continue
            if not policy.needs_whole_set:
                theta = policy.step(theta, histogram)
                trace[keys[start + offset]] = theta.tolist()
            if offset == get_rank():
                own_theta = theta
        if local is None or write_error is not None:
            continue
        label, confidence = local.prediction
        pseudo_label = keep_confident(label, confidence, own_theta)
        predicted += np.bincount(label.ravel(), minlength=num_classes)
        kept += np.bincount(pseudo_label.ravel(), minlength=256)[:num_classes]
        try:
            store.write(keys[start + get_rank()], pseudo_label, confidence)
        except OSError as caught:  # told to the other ranks after the loop, so that none is left waiting
            write_error = caught
            if get_world_size() == 1:
                raise

    counts = _exchange((kept, predicted), write_error)
    kept, predicted = (np.sum([c[part] for c in counts], axis=0) for part in (0, 1))
    coverage = dict(
        images=len(keys),
        pixels=int(predicted.sum()),
        kept_pixels=int(kept.sum()),
        kept_share=float(kept.sum() / max(1, predicted.sum())),
        classes={
            name: dict(predicted=int(p), kept=int(k), kept_share=float(k / p) if p else 0.0)
            for name, p, k in zip(names, predicted, kept)
        })
    if get_rank() == 0:
        thresholds = dict(policy=policy.settings(), final=dict(zip(names, theta.tolist())), images=trace)
        store.finish(input_hash, thresholds, coverage)
        print_log(f'pseudo-labels: {coverage["kept_share"]:.1%} of {coverage["pixels"]} pixels kept, in '
                  f'{store.out_dir}', logger='current')
    barrier()
    return GenerationSummary(True, coverage)
