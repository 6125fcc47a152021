# SPDX-License-Identifier: Apache-2.0
"""Pseudo-labels of a whole set: udatools against the literal method, with the same network in the same run.

    python tools/benchmark/pseudo_labels.py --sizes 8x512x256 16x512x256 8x1024x512 --threads 1

The literal side is what the papers describe, written out:

- ``class_balanced`` (CBST, CRST): the full-resolution float32 probabilities of every image go to disk (``np.save``), the
  winning ones of every ``stride``-th pixel into one Python list a class; the lists are sorted, and the probabilities are read
  back for the labels.
- ``instance_adaptive`` (IAST): one pass; a Python list a class and image, ``np.percentile``; nothing goes to disk.

Both sides round winning probabilities to float16 and write the same PNG files, so labels can be compared bit by bit; they are,
in every turn. Images are random, smooth, and made on the fly; the network is a narrow ResNet-18 at half the native size.

Time: both sides live in one process and take turns; medians. "beside the network" leaves the forward passes out, which are the
same on both sides and hide the difference as soon as the network is large. Memory: each side alone in a fresh process, peak
resident size above its size just before the first image. Disk: bytes of what is written and thrown away again.
"""
import argparse
import hashlib
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from mmseg.structures import SegDataSample  # noqa: E402

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported
from udatools.engine.benchmarking import memory_in_fresh_process, peak_memory_of  # noqa: E402
from udatools.engine.inference import ImagePredictor, predict_prob  # noqa: E402
from udatools.pseudo_labels import PseudoLabelStore, generate_pseudo_labels, generator  # noqa: E402
from udatools.registry import MODELS, PSEUDO_LABEL_POLICIES  # noqa: E402

POLICIES = {
    'class_balanced': dict(type='ClassBalancedPolicy', portion=0.2, stride=4),
    'instance_adaptive': dict(type='InstanceAdaptivePolicy', alpha=0.2),
}
METHODS = ('udatools', 'literal')
MIB = 2**20


class Images:
    """Smooth random images; each is a function of its index, so nothing is kept.

    Args:
        count (int): number of images.
        size (tuple[int, int]): native width and height.
    """

    def __init__(self, count: int, size: tuple[int, int]) -> None:
        self.size, self.keys = size, [f'image_{index:04d}' for index in range(count)]

    def __getitem__(self, index: int) -> tuple[torch.Tensor, SegDataSample]:
        """uint8 (3, h, w) at half the native size, and a sample that tells the native one."""
        width, height = self.size
        coarse = np.random.default_rng(index).integers(0, 256, (8, 16, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (width // 2, height // 2), interpolation=cv2.INTER_CUBIC)
        sample = SegDataSample(metainfo=dict(ori_shape=(height, width), img_shape=image.shape[:2]))
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), sample


class Forward:
    """Adds up the seconds that a model spends in its network."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.seconds, self._real = 0.0, model.infer_logits
        model.infer_logits = self

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """As the model's."""
        began = time.perf_counter()
        try:
            return self._real(inputs)
        finally:
            self.seconds += time.perf_counter() - began


def build_model(args: argparse.Namespace) -> torch.nn.Module:
    """A seeded network whose predictions are sure here and unsure there."""
    torch.manual_seed(0)
    width = args.base_channels
    model = MODELS.build(dict(
        type='UDASegmentor', data_preprocessor=MODELS.build(dict(type='UDADataPreprocessor', mean=[128] * 3, std=[64] * 3)),
        segmentor=dict(
            type='EncoderDecoder', train_cfg=dict(), test_cfg=dict(mode='whole'),
            backbone=dict(type='UDAResNet', depth=18, base_channels=width, stem_channels=width, weights='scratch',
                          bn_mode='eval'),
            decode_head=dict(type='DeepLabV2Head', in_channels=8 * width, in_index=3, num_classes=args.classes)))).eval()
    for branch in model.decode_head.branches:
        torch.nn.init.normal_(branch.weight, std=3.0)
    return model


def ours(model: torch.nn.Module, images: Images, policy: dict[str, Any], folder: Path) -> int:
    """What the hook calls; returns the bytes of scratch files."""
    written: list[int] = []

    class CountedSpool(generator.Spool):

        def __exit__(self, *error: Any) -> None:
            written.append(os.fstat(self._file.fileno()).st_size)
            super().__exit__(*error)

    real, generator.Spool = generator.Spool, CountedSpool
    try:
        built = PSEUDO_LABEL_POLICIES.build(dict(policy))
        generate_pseudo_labels(ImagePredictor([model], images), images.keys, built, PseudoLabelStore(folder),
                               model.out_channels, input_hash='benchmark')
    finally:
        generator.Spool = real
    return sum(written)


def literal_class_balanced(model: torch.nn.Module, images: Images, policy: dict[str, Any], folder: Path) -> int:
    """Dump, list, sort, read again."""
    store, classes = PseudoLabelStore(folder), model.out_channels
    dumps = folder / 'prob'
    dumps.mkdir(parents=True)
    lists: list[list[float]] = [[] for _ in range(classes)]
    for index, key in enumerate(images.keys):
        prob = predict_prob(model, images, index).numpy()
        np.save(dumps / f'{key}.npy', prob)
        label, winning = prob.argmax(0).ravel()[::policy['stride']], prob.max(0).ravel()[::policy['stride']]
        for name in range(classes):
            lists[name].extend(winning[label == name].astype(np.float16).tolist())
    theta = np.ones(classes, np.float32)
    for name, values in enumerate(lists):
        values.sort(reverse=True)
        rank = math.floor(round(policy['portion'] * len(values), 6)) - 1
        if rank >= 0:
            theta[name] = values[rank]
    written = 0
    for key in images.keys:
        path = dumps / f'{key}.npy'
        prob = np.load(path)
        written += path.stat().st_size
        # Through torch: numpy converts small numbers to float16 a hundred times slower, which is no part of the method.
        prob = torch.from_numpy(prob).half().float().numpy()
        ratio = prob / theta[:, None, None]
        best = ratio.argmax(0)
        label = np.where(ratio.max(0) >= 1, best, 255).astype(np.uint8)
        store.write(key, label, np.take_along_axis(prob, best[None], 0)[0].astype(np.float16))
    for path in dumps.iterdir():
        path.unlink()
    return written


def literal_instance_adaptive(model: torch.nn.Module, images: Images, policy: dict[str, Any], folder: Path) -> int:
    """A list a class and image; published values beta 0.9, gamma 8, first threshold 0.9."""
    store, classes = PseudoLabelStore(folder), model.out_channels
    theta = np.full(classes, 0.9)
    for index, key in enumerate(images.keys):
        prob = predict_prob(model, images, index).numpy()
        label, winning = prob.argmax(0), prob.max(0).astype(np.float16)
        for name in range(classes):
            values = winning[label == name].tolist()
            if values:
                share = policy['alpha'] * theta[name]**8.0
                candidate = np.percentile([theta[name], *values], 100 * (1 - share))
                theta[name] = 0.9 * theta[name] + (1 - 0.9) * candidate
        theta[theta >= 1] = 0.999
        store.write(key, np.where(winning >= theta[label], label, 255).astype(np.uint8), winning)
    return 0


LITERAL = {'class_balanced': literal_class_balanced, 'instance_adaptive': literal_instance_adaptive}


def generate(method: str, policy: str, model: torch.nn.Module, images: Images) -> dict[str, Any]:
    """One generation in a folder of its own: ``seconds``, scratch ``bytes``, ``digest`` of labels and confidences, ``kept``."""
    work = ours if method == 'udatools' else LITERAL[policy]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        scratch = work(model, images, POLICIES[policy], Path(folder) / 'out')
        seconds = time.perf_counter() - began
        digest, kept = hashlib.sha256(), []
        for key in images.keys:
            label = cv2.imread(f'{folder}/out/labels/{key}.png', cv2.IMREAD_UNCHANGED)
            confidence = cv2.imread(f'{folder}/out/confidence/{key}.png', cv2.IMREAD_UNCHANGED)
            digest.update(label.tobytes() + confidence.tobytes())
            kept.append(float((label != 255).mean()))
    return dict(seconds=seconds, bytes=scratch, digest=digest.hexdigest(), kept=statistics.mean(kept))


def measure_time(args: argparse.Namespace, policy: str, size: tuple[int, int, int]) -> dict[str, Any]:
    """Both sides in turns; raises RuntimeError when their labels differ."""
    model, images = build_model(args), Images(size[0], size[1:])
    forward = Forward(model)
    predict_prob(model, images, 0)
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    beside: dict[str, list[float]] = {name: [] for name in METHODS}
    outcome: dict[str, dict[str, Any]] = {}
    for repeat in range(args.repeats):
        for name in METHODS if repeat % 2 == 0 else METHODS[::-1]:
            forward.seconds = 0.0
            outcome[name] = generate(name, policy, model, images)
            seconds[name].append(outcome[name]['seconds'])
            beside[name].append(outcome[name]['seconds'] - forward.seconds)
        if len({found['digest'] for found in outcome.values()}) > 1:
            raise RuntimeError(f'{policy}, {size}: the labels of the two sides differ')
    return dict(policy=policy, images=size[0], width=size[1], height=size[2], kept=outcome['udatools']['kept'],
                time_ratio=_ratio_of_medians(seconds), beside_ratio=_ratio_of_medians(beside),
                bytes={name: outcome[name]['bytes'] for name in METHODS})


def _ratio_of_medians(values: dict[str, list[float]]) -> float:
    return statistics.median(values['udatools']) / statistics.median(values['literal'])


def measure_memory(args: argparse.Namespace, policy: str, size: tuple[int, int, int]) -> int:
    """Peak bytes of one side, alone in this process."""
    model, images = build_model(args), Images(size[0], size[1:])
    return peak_memory_of(lambda: generate(args.memory_of, policy, model, images))


def memory_arguments(method: str, policy: str, size: tuple[int, int, int], args: argparse.Namespace) -> list[str]:
    """Command line of the process that measures one side."""
    arguments = ['--memory-of', method, '--policies', policy, '--sizes', 'x'.join(map(str, size)),
                 '--base-channels', str(args.base_channels), '--classes', str(args.classes)]
    return arguments + (['--threads', str(args.threads)] if args.threads else [])


def format_table(results: Sequence[dict[str, Any]]) -> str:
    """The printed table, in Markdown; ratios are udatools / literal."""
    lines = ['| policy | images | native size | time | beside the network | scratch files, literal | udatools '
             '| peak memory, literal | udatools | same labels |', '|---|---|---|---|---|---|---|---|---|---|']
    for result in results:
        memory = result.get('memory')
        cells = [result['policy'].replace('_', '-'), result['images'], f'{result["width"]}x{result["height"]}',
                 f'{result["time_ratio"]:.2f}', f'{result["beside_ratio"]:.2f}',
                 *(f'{result["bytes"][name] / MIB:.1f} MiB' for name in METHODS[::-1]),
                 *((f'{memory[name] / MIB:.0f} MiB' for name in METHODS[::-1]) if memory else '--'), 'yes']
        lines.append(f'| {" | ".join(map(str, cells))} |')
    return '\n'.join(lines)


def parse_size(text: str) -> tuple[int, int, int]:
    """``8x512x256`` to (8, 512, 256)."""
    try:
        count, width, height = (int(part) for part in text.lower().split('x'))
        if min(count, width // 16, height // 16) < 1:
            raise ValueError
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{text!r} is not IMAGESxWIDTHxHEIGHT with sides of at least 16, for instance '
                                         '8x512x256') from error
    return count, width, height


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sizes', type=parse_size, nargs='+', default=[(8, 512, 256), (16, 512, 256), (8, 1024, 512)],
                        metavar='IMAGESxWIDTHxHEIGHT')
    parser.add_argument('--policies', nargs='+', choices=tuple(POLICIES), default=list(POLICIES))
    parser.add_argument('--classes', type=int, default=19)
    parser.add_argument('--base-channels', type=int, default=16, help='width of the ResNet-18; 64 is the full one')
    parser.add_argument('--repeats', type=int, default=3, help='turns of each side')
    parser.add_argument('--threads', type=int, help='torch.set_num_threads')
    parser.add_argument('--no-memory', action='store_true', help='skip the memory processes')
    parser.add_argument('--json', type=Path, help='also write the numbers to this file')
    parser.add_argument('--memory-of', choices=METHODS, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
        cv2.setNumThreads(args.threads)
    MMLogger.get_current_instance().setLevel('WARNING')
    if args.memory_of:
        print(measure_memory(args, args.policies[0], args.sizes[0]))
        return 0
    results = []
    for policy in args.policies:
        for size in args.sizes:
            result = measure_time(args, policy, size)
            if not args.no_memory:
                result['memory'] = {
                    name: memory_in_fresh_process(__file__, memory_arguments(name, policy, size, args)) for name in METHODS}
            results.append(result)
    print(format_table(results))
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
