# SPDX-License-Identifier: Apache-2.0
"""One step of video adversarial training against as many image steps of AdaptSegNet, on the same frames in the same run.

    python tools/benchmark/video_step.py --sizes 256x128 512x256 --threads 1

Three sides, each with the network and the optimisers of its config:

- ``clip``: one training step of the last stage of ``--video``, on clips of T frames a domain (T is the config's, 2). For VAT:
  cross-entropy on all source frames, tube matching, the sequence discriminator on whole clips; one backward pass.
- ``frames``: T training steps of ``--image``, step t on the frames number t of the same clips. For AdaptSegNet: cross-entropy,
  the image discriminator on single frames. Optimisers step T times, and one frame a clip is in memory at a time.
- ``batch``: one training step of ``--image`` on all frames at once, which says what is due to the objectives alone.

A step is the runner's ``train_step``, normalisation included. Images are random, labels are patches; loading is left out.

Time: all sides live in one process and take turns; ratios of medians, and quartiles of the ratios turn by turn. Memory: each
side alone in a fresh process, the peak of three steps above the size before the first one. Same numbers: from the same weights,
with batch norm in evaluation mode, the cross-entropy of the clip is the sum over its frames; how far the two are apart is
printed, for the gradients as a share of the largest one.
"""
import argparse
import copy
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a checkout works without being installed
sys.path.append(str(Path(__file__).resolve().parent))

import torch  # noqa: E402
from mmengine.config import Config, DictAction  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from mmengine.structures import PixelData  # noqa: E402
from mmseg.structures import SegDataSample  # noqa: E402
from train_switches import Batch, build, build_optimiser, make_batch, stage_config  # noqa: E402

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported
from udatools.engine.benchmarking import in_turns, memory_in_fresh_process, parse_size, peak_memory_of, ratio  # noqa: E402

SIDES = ('clip', 'frames', 'batch')


def load_configs(args: argparse.Namespace, scratch: Path) -> dict[str, Config]:
    """Configs of the measured stages, ``video`` and ``image``.

    Raises:
        ValueError: when their networks differ, or a config is not of the kind that its option asks for.
    """
    configs = {name: stage_config(str(getattr(args, name)), args, scratch)[1] for name in ('video', 'image')}
    video, image = configs.values()
    if differ := _differences(video.model.segmentor.to_dict(), image.model.segmentor.to_dict(), 'segmentor'):
        raise ValueError(f'{args.video} and {args.image} have different networks ({", ".join(differ)}); name two configs that '
                         'share model and data set, or set these for both with --cfg-options')
    for name, cfg in configs.items():
        if missing := {'source', 'target'} - {part for part, value in cfg.train_dataloader.dataset.items() if value}:
            raise ValueError(f'the last stage of --{name} has no {" and no ".join(sorted(missing))}; both domains are needed')
    if clip_length(video) < 2:
        raise ValueError(f'{args.video} has clips of one frame; --video is a config with frame_offsets=(0, -1)')
    return configs


def _differences(one: Any, other: Any, name: str) -> list[str]:
    """Dotted names of the values in which two nested configs differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [found for key in sorted(one.keys() | other.keys())
                for found in _differences(one.get(key), other.get(key), f'{name}.{key}')]
    return [] if one == other else [name]


def clip_length(cfg: Config) -> int:
    """T, number of frames of a clip."""
    return len(cfg.train_dataloader.dataset.source.get('frame_offsets', (0, )))


def as_clips(batch: Batch, length: int) -> Batch:
    """A batch of images as one of clips: images 0..T-1 are the first clip, frame after frame."""
    clips: Batch = {'inputs': {}, 'data_samples': {}}
    for name, images in batch['inputs'].items():
        samples, starts = batch['data_samples'][name], range(0, len(images), length)
        clips['inputs'][name] = [torch.stack(images[start:start + length]) for start in starts]
        clips['data_samples'][name] = [_clip_sample(samples[start:start + length], f'{name}_{start}') for start in starts]
    return clips


def _clip_sample(samples: list[SegDataSample], clip: str) -> SegDataSample:
    """As ``PackClipInputs`` makes it."""
    numbers = list(range(len(samples)))
    names = [f'{clip}_{number}' for number in numbers]
    meta = samples[0].metainfo | dict(clip=clip, frames=numbers[::-1], frame_keys=names, frame_paths=names,
                                      frame_valid=[True] * len(samples))
    return SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=torch.cat([sample.gt_sem_seg.data for sample in samples])))


def every(batch: Batch, step: int, first: int) -> Batch:
    """Every ``step``-th image of each domain."""
    return {part: {name: items[first::step] for name, items in domains.items()} for part, domains in batch.items()}


def batches_of(cfg: Config, args: argparse.Namespace, length: int) -> dict[str, list[Batch]]:
    """What the steps of one turn of each side are given."""
    images = make_batch(cfg, argparse.Namespace(**vars(args) | dict(batch=args.clips * length)), 0)
    return dict(clip=[as_clips(images, length)], frames=[every(images, length, first) for first in range(length)], batch=[images])


def make_side(name: str, configs: dict[str, Config], args: argparse.Namespace) -> Callable[[], None]:
    """Function: the training steps of one turn."""
    cfg = configs['video' if name == 'clip' else 'image']
    model = build(cfg, args, 'plain')
    optimiser = build_optimiser(model, cfg)
    batches = batches_of(cfg, args, clip_length(configs['video']))[name]

    def turn() -> None:
        for batch in batches:
            model.train_step(copy.deepcopy(batch), optimiser)  # the preprocessor writes into the samples

    return turn


def differences(configs: dict[str, Config], args: argparse.Namespace) -> dict[str, float]:
    """How far the cross-entropies of ``clip`` and ``frames`` are apart, and their gradients, see the module docstring."""
    found = []
    for name in ('clip', 'frames'):
        cfg, total = configs['video' if name == 'clip' else 'image'], 0.0
        model = build(cfg, args, 'plain', bn_mode='eval')
        for batch in batches_of(cfg, args, clip_length(configs['video']))[name]:
            losses = model(**model.data_preprocessor(copy.deepcopy(batch), True), mode='loss')
            loss = sum(value for key, value in losses.items() if key.startswith('source.') and 'loss' in key)
            loss.backward()
            total += float(loss.detach())
        found.append((total, {key: value.grad for key, value in model.segmentor.named_parameters() if value.grad is not None}))
    (clip, clip_grad), (frames, frames_grad) = found
    largest = max(float(value.abs().max()) for value in frames_grad.values())
    apart = max(float((value - frames_grad[key]).abs().max()) for key, value in clip_grad.items())
    return dict(loss=abs(clip - frames) / abs(frames), gradient=apart / largest)


def measure(configs: dict[str, Config], args: argparse.Namespace) -> dict[str, Any]:
    """One size: ``time`` of a clip step as a ratio to the other sides, ``memory`` likewise, ``difference``."""
    sides = {name: make_side(name, configs, args) for name in SIDES}
    seconds, _ = in_turns(sides, args.repeats, warmup=args.warmup, device=args.device)
    result = dict(size=list(args.size), clips=args.clips, length=clip_length(configs['video']), turns=args.repeats,
                  time={name: ratio(seconds['clip'], seconds[name]) for name in SIDES[1:]},
                  difference=differences(configs, args))
    if args.memory:
        one_size = ['--sizes', 'x'.join(map(str, args.size))]
        peak = {name: memory_in_fresh_process(__file__, [*args.given, *one_size, '--memory-of', name]) for name in SIDES}
        result['memory'] = {name: peak['clip'] / max(peak[name], 1) for name in SIDES[1:]}
    return result


def memory_of(configs: dict[str, Config], args: argparse.Namespace) -> int:
    """Bytes of three turns of one side, alone in this process."""
    turn = make_side(args.memory_of, configs, args)
    return peak_memory_of(lambda: [turn() for _ in range(3)], args.device)


def format_table(results: list[dict[str, Any]]) -> str:
    """The printed table, in Markdown: a step on clips divided by the other sides."""
    lines = ['| size | frames a domain | time / image steps | time / one image step of all frames | memory / image steps '
             '| memory / one image step | cross-entropy differs by | its gradient by |', '|---|---|---|---|---|---|---|---|']
    for one in results:
        memory = [f'{one["memory"][name]:.2f}' if 'memory' in one else '--' for name in SIDES[1:]]
        lines.append('| ' + ' | '.join([
            'x'.join(map(str, one['size'])), f'{one["clips"]} x {one["length"]}', *(str(one['time'][name]) for name in SIDES[1:]),
            *memory, *(f'{one["difference"][name]:.0e}' for name in ('loss', 'gradient'))]) + ' |')
    return '\n'.join(lines)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    configs = ROOT / 'configs' / 'video_da'
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--video', type=Path, default=configs / 'vat_minidrive_video.py', help='config that trains on clips')
    parser.add_argument('--image', type=Path, default=configs / 'adaptsegnet_minidrive_video.py',
                        help='config of the image steps')
    parser.add_argument('--sizes', type=parse_size, nargs='+', default=[(256, 128), (512, 256)], metavar='WIDTHxHEIGHT')
    parser.add_argument('--clips', type=int, default=1, help='clips of each domain in a step')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--repeats', type=int, default=15, help='turns of each side')
    parser.add_argument('--warmup', type=int, default=2, help='turns of each side before the clock starts')
    parser.add_argument('--threads', type=int, help='torch.set_num_threads')
    parser.add_argument('--no-memory', dest='memory', action='store_false', help='skip the memory processes')
    parser.add_argument('--json', type=Path, help='also write the numbers to this file')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE', help='of both configs')
    parser.add_argument('--memory-of', choices=SIDES, help=argparse.SUPPRESS)
    parser.set_defaults(stage=None)
    args = parser.parse_args(argv)
    args.given = sys.argv[1:] if argv is None else list(argv)
    if min(args.clips, args.repeats) < 1 or args.warmup < 0:
        parser.error('--clips and --repeats must be at least 1, --warmup at least 0')
    return args


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    args = parse_args(argv)
    MMLogger.get_current_instance().setLevel('ERROR')  # not a line for every frozen parameter
    if args.threads:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            configs = load_configs(args, Path(scratch))
        except ValueError as error:
            sys.exit(str(error))
        each = [argparse.Namespace(**vars(args), size=size) for size in args.sizes]
        if args.memory_of:
            print(memory_of(configs, each[0]))
            return 0
        results = [measure(configs, one) for one in each]
    print(format_table(results))
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
