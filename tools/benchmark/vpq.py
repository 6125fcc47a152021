# SPDX-License-Identifier: Apache-2.0
"""Video panoptic quality of a set of PNGs: udatools against only reading the files, and against the usual evaluation.

    python tools/benchmark/vpq.py --sizes 2x6x1024x512 2x6x2048x1024

The usual evaluation goes window by window: it stacks the frames of each window and sorts all of its pixels by (ground truth id,
predicted id), so every frame is sorted ten times over the four lengths. It reads each file once, as udatools does; only
reading is the floor for both. Clips are random and smooth, with the ids of moving objects; --noise scatters ids over the
predictions, which udatools, counting runs of pixels, likes less. The numbers of both sides are compared in every turn.

Time is that of the processor: all live in one process and take turns; ratios of medians, in brackets quartiles of the ratios
turn by turn. Memory: each side alone in a fresh process, peak resident size above its size just before the first file.
"""
import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

import cv2  # noqa: E402
import numpy as np  # noqa: E402

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported
from udatools.engine.benchmarking import in_turns, memory_in_fresh_process, peak_memory_of, ratio  # noqa: E402
from udatools.evaluation.panoptic_io import Category, PanopticWriter, read_panoptic_png, read_panoptic_set  # noqa: E402
from udatools.evaluation.vpq import WINDOWS  # noqa: E402
from udatools.evaluation.vpq_files import score_files  # noqa: E402

CLASSES = 8
SEGMENTS = 40
MIB = 2**20
Counts = dict[str, list[list[float]]]


def smooth_ids(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """int32, (height, width): the winner of ``SEGMENTS`` smooth random fields, 1..SEGMENTS."""
    best = np.full((height, width), -np.inf, np.float32)
    ids = np.zeros((height, width), np.int32)
    for number in range(1, SEGMENTS + 1):
        coarse = rng.standard_normal((8, 14)).astype(np.float32)
        field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        ids[field > best] = number
        best = np.maximum(best, field)
    return ids


def write_set(folder: Path, clips: int, frames: int, width: int, height: int, noise: float = 0.0) -> None:
    """Ground truth ``gt.json`` and predictions ``pred.json`` with their PNGs; one in twenty segments is void.

    A share of ``noise`` of the predicted pixels has any id.
    """
    categories = [Category(number, f'class {number}', number >= CLASSES // 2) for number in range(CLASSES)]
    sides = [PanopticWriter(folder / f'{name}.json', categories) for name in ('gt', 'pred')]
    category_of = {1000 * number: number % CLASSES for number in range(1, SEGMENTS + 1)}
    for clip in range(clips):
        rng = np.random.default_rng(clip)
        truth, other = smooth_ids(rng, width, height), smooth_ids(rng, width, height)
        wrong = smooth_ids(rng, width, height) % 5 == 0
        for frame in range(frames):
            moved = np.roll(truth, 4 * frame, axis=1)
            gt, pred = np.where(moved % 20 == 0, 0, moved), np.where(wrong, other, moved)
            if noise:
                pred = np.where(rng.random(pred.shape) < noise, rng.integers(1, SEGMENTS + 1, pred.shape, np.int32), pred)
            for side, ids in zip(sides, (gt, pred)):
                side.add(f'{clip:04d}_{frame:04d}', 1000 * ids, category_of)
    for side in sides:
        side.finish()


def only_read(folder: Path) -> None:
    """Reads every file once."""
    for name in ('gt', 'pred'):
        for frame in read_panoptic_set(folder / f'{name}.json').frames:
            read_panoptic_png(frame.path)


def ours(folder: Path) -> Counts:
    """What ``tools/eval_vpq.py`` does, in one process."""
    stats = score_files(folder / 'gt.json', folder / 'pred.json').stats
    return {name: getattr(stats, name).tolist() for name in ('iou', 'tp', 'fp', 'fn')}


def usual(folder: Path) -> Counts:
    """Window by window, all pixels of a window sorted."""
    sets = [read_panoptic_set(folder / f'{name}.json').frames for name in ('gt', 'pred')]
    totals = {name: np.zeros((len(WINDOWS), CLASSES)) for name in ('iou', 'tp', 'fp', 'fn')}
    for clip in sorted({frame.clip for frame in sets[0]}):
        pairs = [pair for pair in zip(*sets) if pair[0].clip == clip]
        maps = [[read_panoptic_png(frame.path).astype(np.uint64) for frame in pair] for pair in pairs]
        for w, length in enumerate(WINDOWS):
            for start in range(len(pairs) - length + 1):
                steps = range(start, start + length)
                gt, pred = (np.stack([maps[i][side] for i in steps]) for side in (0, 1))
                infos = [{number: category for i in steps for number, category, _ in pairs[i][side].segments} for side in (0, 1)]
                add_window({name: total[w] for name, total in totals.items()}, gt, pred, *infos)
    return {name: total.tolist() for name, total in totals.items()}


def add_window(totals: dict[str, np.ndarray], gt: np.ndarray, pred: np.ndarray, gt_info: dict[int, int],
               pred_info: dict[int, int]) -> None:
    """Matches the segments of one window (no crowds in these sets)."""
    values, counts = np.unique(gt * 256**3 + pred, return_counts=True)
    shared = {(int(value) // 256**3, int(value) % 256**3): int(count) for value, count in zip(values, counts)}
    area: list[dict[int, int]] = [{}, {}]
    for pair, count in shared.items():
        for side in (0, 1):
            area[side][pair[side]] = area[side].get(pair[side], 0) + count
    matched: list[set[int]] = [set(), set()]
    for (g, p), count in shared.items():
        if g and p and gt_info[g] == pred_info[p]:
            union = area[0][g] + area[1][p] - count - shared.get((0, p), 0)
            if count / union > 0.5:
                totals['iou'][gt_info[g]] += count / union
                totals['tp'][gt_info[g]] += 1
                matched[0].add(g)
                matched[1].add(p)
    for g in set(area[0]) - matched[0] - {0}:
        totals['fn'][gt_info[g]] += 1
    for p in set(area[1]) - matched[1] - {0}:
        totals['fp'][pred_info[p]] += shared.get((0, p), 0) / area[1][p] <= 0.5


SIDES: dict[str, Callable[[Path], Any]] = {'read': only_read, 'udatools': ours, 'usual': usual}


def check_same(found: dict[str, Any]) -> None:
    """Raises RuntimeError when the two evaluations differ."""
    for part in ('iou', 'tp', 'fp', 'fn'):
        if not np.allclose(found['udatools'][part], found['usual'][part], rtol=1e-12):
            raise RuntimeError(f'the two evaluations differ in {part}')


def measure(folder: Path, repeats: int) -> dict[str, list[float]]:
    """Processor seconds of each side, one number a turn; raises RuntimeError when the numbers of a turn differ."""
    only_read(folder)
    sides = {name: partial(side, folder) for name, side in SIDES.items()}
    return in_turns(sides, repeats, warmup=0, check=check_same)[0]


def format_table(results: Sequence[dict[str, Any]]) -> str:
    """The printed table, in Markdown."""
    lines = ['| clips x frames | size | time / only reading | time / usual | peak memory / only reading | peak memory / usual |',
             '|---|---|---|---|---|---|']
    for one in results:
        seconds, memory = one['seconds'], one.get('memory')
        times = [str(ratio(seconds['udatools'], seconds[name])) for name in ('read', 'usual')]
        peaks = [_compare(memory['udatools'], memory[name]) if memory else '--' for name in ('read', 'usual')]
        cells = [f'{one["clips"]} x {one["frames"]}', f'{one["width"]}x{one["height"]}', *times, *peaks]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def _compare(ours: int, theirs: int) -> str:
    return f'{ours / max(theirs, 1):.2g} ({ours / MIB:.0f} to {theirs / MIB:.0f} MiB)'


def parse_size(text: str) -> tuple[int, int, int, int]:
    """``2x6x1024x512`` to (2, 6, 1024, 512)."""
    try:
        clips, frames, width, height = (int(part) for part in text.lower().split('x'))
        if min(clips, frames, width // 16, height // 16) < 1:
            raise ValueError
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{text!r} is not CLIPSxFRAMESxWIDTHxHEIGHT with sides of at least 16, for instance '
                                         '2x6x1024x512') from error
    return clips, frames, width, height


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sizes', type=parse_size, nargs='+', default=[(2, 6, 1024, 512), (2, 6, 2048, 1024)],
                        metavar='CLIPSxFRAMESxWIDTHxHEIGHT')
    parser.add_argument('--noise', type=float, default=0.0, help='share of scattered pixels in the predictions (default: 0)')
    parser.add_argument('--repeats', type=int, default=3, help='turns of each side')
    parser.add_argument('--no-memory', action='store_true', help='skip the memory processes')
    parser.add_argument('--json', type=Path, help='also write the numbers to this file')
    parser.add_argument('--memory-of', choices=tuple(SIDES), help=argparse.SUPPRESS)
    parser.add_argument('--folder', type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    args = parse_args(argv)
    cv2.setNumThreads(1)
    if args.memory_of:
        print(peak_memory_of(lambda: SIDES[args.memory_of](args.folder)))
        return 0
    results = []
    for clips, frames, width, height in args.sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_set(folder, clips, frames, width, height, args.noise)
            result: dict[str, Any] = dict(clips=clips, frames=frames, width=width, height=height, noise=args.noise)
            result['seconds'] = measure(folder, args.repeats)
            if not args.no_memory:
                result['memory'] = {
                    side: memory_in_fresh_process(__file__, ['--memory-of', side, '--folder', name]) for side in SIDES}
            results.append(result)
    print(format_table(results))
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
