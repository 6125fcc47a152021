# SPDX-License-Identifier: Apache-2.0
"""What selecting costs: every selector against one inference, and RIPU's windows against the literal loop.

    python tools/benchmark/selection.py --threads 1
    python tools/benchmark/selection.py --size 512x256 --depth 50 --repeats 3 --regions 200 --threads 1

The inference is what a round of ``configs/labor/spl_gta2cs.py`` does for one image and one model: DeepLabv2 on ResNet-101
(``--depth``), input of half the native size, probabilities of 19 classes at the native size. Selectors that read the two
classifiers of the pixel selector need a second inference of the same kind, so their ratio to all of it is half of what is
printed. Probabilities are smooth and random; two classifiers differ in about 2 % of the pixels.

The literal loop takes, for every window, one argmax of the whole map (``.item()``) and overwrites its neighbourhood. Both
sides give the same windows, or the benchmark fails.

Times are medians, of the processor on a CPU, so that others on the machine do not change them; the sides live in one
process and take turns. Only ratios are printed: absolute times say more about a machine than about the code.
"""
import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported
from udatools.engine.benchmarking import in_turns, parse_size, ratio  # noqa: E402
from udatools.ops.impurity import ripu_score  # noqa: E402
from udatools.ops.spacing import greedy_peaks, square  # noqa: E402
from udatools.registry import MODELS, SELECTORS  # noqa: E402

PAIR = ('prob1', 'prob2')
CASES: dict[str, dict[str, Any]] = {
    'LabOR-SPL': dict(type='LabORSPLSelector'),
    'LabOR-PPL': dict(type='LabORPPLSelector'),
    'LabOR-PPL, 3 a class': dict(type='LabORPPLSelector', points_per_class=3, min_distance=32),
    'random': dict(type='RandomSelector'),
    'entropy': dict(type='EntropySelector'),
    'entropy, points 32 px apart': dict(type='EntropySelector', kind='points', spacing=32),
    'margin': dict(type='MarginSelector'),
    'confidence': dict(type='ConfidenceSelector'),
    'MCDAL': dict(type='MCDALSelector'),
    'RIPU pixels': dict(type='RIPUPixelSelector', kind='points'),
    'RIPU windows 3x3': dict(type='RIPURegionSelector'),
    'RIPU windows 33x33': dict(type='RIPURegionSelector', radius=16),
    'regions of the prediction': dict(type='RegionSelector'),
    'superpixels': dict(type='RegionSelector', units='slic'),
    'LabOR-SPL for people': dict(type='FilteredSelector', selector=dict(type='LabORSPLSelector'), min_size=16, border=8,
                                 ego_class=13, max_regions=50),
}


def make_outputs(args: argparse.Namespace) -> dict[str, torch.Tensor]:
    """What a selector may read, for one image."""
    generator = torch.Generator().manual_seed(0)
    width, height = args.size

    def logits(scale: float, step: int) -> torch.Tensor:
        shape = (1, args.classes, max(1, height // step), max(1, width // step))
        coarse = scale * torch.randn(shape, generator=generator)
        return F.interpolate(coarse, (height, width), mode='bilinear', align_corners=False)[0]

    base = logits(6.0, max(8, height // 16))
    outputs = {name: (base + logits(0.15, 8)).softmax(0) for name in ('prob', *PAIR)}
    outputs['image'] = (255 * outputs['prob'][:3]).to(torch.uint8)
    outputs = {name: value.to(args.device) for name, value in outputs.items()}
    outputs['excluded'] = torch.zeros(height, width, dtype=torch.bool)
    return outputs


def make_inference(args: argparse.Namespace) -> Callable[[], torch.Tensor]:
    """Function: the probabilities of one image by the network of the flagship config."""
    torch.manual_seed(0)
    width, height = args.size
    channels = args.base_channels * (8 if args.depth < 50 else 32)
    backbone = dict(type='UDAResNet', depth=args.depth, base_channels=args.base_channels, stem_channels=args.base_channels,
                    weights='scratch', bn_mode='eval')
    model = MODELS.build(dict(
        type='UDASegmentor', data_preprocessor=MODELS.build(dict(type='UDADataPreprocessor', mean=[128] * 3, std=[64] * 3)),
        segmentor=dict(type='EncoderDecoder', train_cfg=dict(), test_cfg=dict(mode='whole'), backbone=backbone,
                       decode_head=dict(type='DeepLabV2Head', in_channels=channels, in_index=3, num_classes=args.classes))))
    model = model.to(args.device).eval()
    inputs = torch.randn(1, 3, height // 2, width // 2, device=args.device)

    @torch.no_grad()
    def infer() -> torch.Tensor:
        return model.predict_prob(inputs, (height, width))[0]

    return infer


def literal_windows(score: torch.Tensor, radius: int, limit: int) -> list[int]:
    """Centres of disjoint windows, one argmax of the map after the other."""
    value, picks = score.float().clone(), []
    width = value.shape[1]
    for _ in range(limit):
        index = value.view(-1).argmax().item()
        y, x = divmod(index, width)
        if value[y, x].item() < 0:
            break
        picks.append(index)
        value[max(0, y - 2 * radius):y + 2 * radius + 1, max(0, x - 2 * radius):x + 2 * radius + 1] = -1
    return picks


def sorted_windows(score: torch.Tensor, radius: int, limit: int) -> list[int]:
    """The same, as :class:`RIPURegionSelector` does it."""
    return greedy_peaks(score.cpu().numpy(), square(2 * radius), limit).tolist()


def measure_selectors(args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a selector: ``ratio`` to one inference, and the ``offered`` share of the pixels."""
    outputs, sides = make_outputs(args), {'inference': make_inference(args)}
    rows = []
    for name in args.selectors:
        try:
            selector = SELECTORS.build(dict(CASES[name]))
        except ImportError as error:
            rows.append(dict(selector=name, skipped=str(error)))
            continue
        given = {key: outputs[key] for key in selector.inputs}
        sides[name] = lambda selector=selector, given=given: selector.candidates(given, 'image', np.random.default_rng(0))
        rows.append(dict(selector=name, reads=selector.inputs))
    seconds, found = in_turns(sides, args.repeats, device=args.device)
    for row in rows:
        if 'skipped' not in row:
            row['ratio'] = ratio(seconds[row['selector']], seconds['inference']).median
            row['offered'] = found[row['selector']].flat_index.size / (args.size[0] * args.size[1])
    return rows


def measure_windows(args: argparse.Namespace, radius: int) -> dict[str, Any]:
    """Sorted once against one argmax a window; raises RuntimeError when the windows differ."""
    score = ripu_score(make_outputs(args)['prob'], radius).half()
    sides = dict(udatools=lambda: sorted_windows(score, radius, args.regions),
                 literal=lambda: literal_windows(score, radius, args.regions))
    seconds, found = in_turns(sides, args.repeats, device=args.device)
    if found['udatools'] != found['literal']:
        raise RuntimeError(f'radius {radius}: the windows of the two sides differ')
    return dict(radius=radius, windows=len(found['udatools']), ratio=ratio(seconds['udatools'], seconds['literal']).median)


def format_tables(selectors: list[dict[str, Any]], windows: list[dict[str, Any]]) -> str:
    """The printed tables, in Markdown."""
    lines = ['| selector | time / one inference | offered pixels |', '|---|---|---|']
    for row in selectors:
        cells = ['--', row['skipped']] if 'skipped' in row else [f'{row["ratio"]:.3f}', f'{row["offered"]:.3%}']
        lines.append(f'| {row["selector"]} | {" | ".join(cells)} |')
    lines += ['', '| windows | picked | sorted once / one argmax a window |', '|---|---|---|']
    for row in windows:
        side = 2 * row['radius'] + 1
        lines.append(f'| {side}x{side} | {row["windows"]} | {row["ratio"]:.4f} |')
    return '\n'.join(lines)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=partial(parse_size, smallest=32), default=(2048, 1024), metavar='WIDTHxHEIGHT',
                        help='native size of the image')
    parser.add_argument('--classes', type=int, default=19)
    parser.add_argument('--depth', type=int, default=101, choices=(18, 34, 50, 101), help='of the ResNet')
    parser.add_argument('--base-channels', type=int, default=64, help='width of the ResNet; 64 is the full one')
    parser.add_argument('--selectors', nargs='+', choices=tuple(CASES), default=list(CASES), metavar='NAME')
    parser.add_argument('--radii', type=int, nargs='+', default=[1, 16], help='of the windows')
    parser.add_argument('--regions', type=int, default=1026, help='windows at most')
    parser.add_argument('--repeats', type=int, default=5, help='turns of each side')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, help='torch.set_num_threads')
    parser.add_argument('--json', type=Path, help='also write the numbers to this file')
    args = parser.parse_args(argv)
    if args.repeats < 1 or min(args.radii) < 1 or args.regions < 1:
        parser.error('--repeats, --radii and --regions must be at least 1')
    return args


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
        cv2.setNumThreads(args.threads)
    MMLogger.get_current_instance().setLevel('WARNING')
    selectors = measure_selectors(args)
    windows = [measure_windows(args, radius) for radius in args.radii]
    print(format_tables(selectors, windows))
    if args.json:
        args.json.write_text(json.dumps(dict(selectors=selectors, windows=windows), indent=2) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
