# SPDX-License-Identifier: Apache-2.0
"""One adversarial training step of udatools against the plain two-phase loop, on the same machine in the same run.

    python tools/benchmark/train_step.py --depth 18 --base-channels 16 --size 256x128 --batch 4

The reference below is the procedure that AdaptSegNet (Tsai et al., CVPR 2018) published, written out: freeze D; source
forward and backward; target forward and backward through D; thaw D; D on the detached predictions, forward and backward for
each domain; step both optimisers. Ours is what the runner calls: ``train_step`` of a ``UDASegmentor`` with a
``JointOptimWrapper``. Both get copies of one network and the same tensors; loading and normalising images is left out.

Time: both live in one process and take turns (A B, B A, A B ...); the medians over all turns are compared. Memory: each runs
alone in a fresh process. On CUDA it is ``max_memory_allocated``; on a CPU the peak resident size of that process above its
size just before the first step.
"""
import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from mmengine.structures import PixelData  # noqa: E402
from mmseg.structures import SegDataSample  # noqa: E402

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported
from udatools.engine.benchmarking import memory_in_fresh_process, parse_size, peak_memory_of, ratio, synchronise  # noqa: E402
from udatools.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS  # noqa: E402

CE_WEIGHTS = {'main': 1.0, 'aux': 0.1}
ADV_WEIGHTS = {'main': 0.001, 'aux': 0.0002}
SGD = dict(lr=2.5e-4, momentum=0.9, weight_decay=5e-4)
ADAM = dict(lr=1e-4, betas=(0.9, 0.99))
Batch = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--depth', type=int, default=18, help='of the ResNet: 18, 34, 50, 101')
    parser.add_argument('--base-channels', type=int, default=16, help='width of the ResNet and of D; 64 is the full one')
    parser.add_argument('--classes', type=int, default=19)
    parser.add_argument('--size', type=parse_size, default=(256, 128), help='WIDTHxHEIGHT of both domains')
    parser.add_argument('--batch', type=int, default=4, help='images of each domain')
    parser.add_argument('--multi-level', action='store_true', help='align the auxiliary head too')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--amp', choices=('bf16',), help='autocast (CUDA)')
    parser.add_argument('--repeats', type=int, default=15, help='turns of each side')
    parser.add_argument('--steps', type=int, default=2, help='steps a turn')
    parser.add_argument('--warmup', type=int, default=3, help='steps of each side before the clock starts')
    parser.add_argument('--threads', type=int, help='torch.set_num_threads')
    parser.add_argument('--no-memory', action='store_true', help='skip the two memory processes')
    parser.add_argument('--json', type=Path, help='also write the numbers to this file')
    parser.add_argument('--memory-of', choices=('udatools', 'reference'), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.amp and not args.device.startswith('cuda'):
        parser.error(f'--amp {args.amp} needs a CUDA device, got --device {args.device}')
    return args


def build_model(args: argparse.Namespace) -> torch.nn.Module:
    """A ``UDASegmentor`` with source supervision and adversarial alignment, seeded."""
    torch.manual_seed(0)
    expansion = 1 if args.depth < 50 else 4
    width = 8 * args.base_channels * expansion

    def head(index: int) -> dict[str, Any]:
        return dict(type='DeepLabV2Head', in_channels=width >> (3 - index), in_index=index, num_classes=args.classes,
                    align_corners=True)

    levels = ('main', 'aux') if args.multi_level else ('main', )
    segmentor = dict(
        type='EncoderDecoder', decode_head=head(3), auxiliary_head=head(2) if args.multi_level else None,
        backbone=dict(type='UDAResNet', depth=args.depth, base_channels=args.base_channels, stem_channels=args.base_channels,
                      weights='scratch', bn_mode='affine'),
        train_cfg=dict(), test_cfg=dict(mode='whole'))
    discriminator = dict(type='ImageDiscriminator', in_channels=args.classes,
                         channels=tuple(args.base_channels * factor for factor in (1, 2, 4, 8)))
    model = MODELS.build(dict(type='UDASegmentor', segmentor=segmentor, objectives=[
        dict(type='SegmentationCE', name='source', domain='source', heads={level: CE_WEIGHTS[level] for level in levels}),
        dict(type='AdversarialAlignment', name='adversarial', discriminator=discriminator,
             weights={level: ADV_WEIGHTS[level] for level in levels})]))
    return model.to(args.device).train()


def make_batches(args: argparse.Namespace, count: int = 2) -> list[Batch]:
    """Images (B, 3, H, W) of both domains and labels (B, H, W) with some pixels ignored."""
    generator = torch.Generator().manual_seed(1)
    (width, height), batches = args.size, []
    for _ in range(count):
        images = {name: torch.randn(args.batch, 3, height, width, generator=generator) for name in ('source', 'target')}
        labels = {name: torch.randint(0, args.classes, (args.batch, height, width), generator=generator) for name in images}
        labels['source'][:, :2] = 255
        batches.append(tuple({name: tensor.to(args.device) for name, tensor in part.items()} for part in (images, labels)))
    return batches


def udatools_step(model: torch.nn.Module, args: argparse.Namespace) -> Callable[[Batch], None]:
    """The step that the runner takes."""
    kind = dict(type='AmpOptimWrapper', dtype='bfloat16') if args.amp else dict(type='OptimWrapper')
    wrapper = OPTIM_WRAPPER_CONSTRUCTORS.build(dict(type='UDAOptimWrapperConstructor', optim_wrapper_cfg=dict(
        segmentor=dict(kind, optimizer=dict(type='SGD', **SGD)),
        discriminator=dict(kind, optimizer=dict(type='Adam', **ADAM)))))(model)

    def step(batch: Batch) -> None:
        images, labels = batch
        samples = {name: [SegDataSample(gt_sem_seg=PixelData(data=label[None])) for label in labels[name]] for name in labels}
        model.train_step(dict(inputs=images, data_samples=samples), wrapper)

    return step


def reference_step(model: torch.nn.Module, args: argparse.Namespace) -> Callable[[Batch], None]:
    """AdaptSegNet's published procedure with plain torch on the parts of the same model."""
    network, discriminators = model.segmentor, model.objectives['adversarial'].discriminators
    heads = {'main': network.decode_head}
    if args.multi_level:
        heads['aux'] = network.auxiliary_head
    of_network = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], **SGD)
    of_discriminator = torch.optim.Adam(discriminators.parameters(), **ADAM)
    kind = args.device.split(':')[0]

    def autocast() -> Any:
        return torch.autocast(kind, torch.bfloat16) if args.amp else nullcontext()

    def predict(images: torch.Tensor) -> dict[str, torch.Tensor]:
        features = network.backbone(images)
        return {name: F.interpolate(head(features), images.shape[2:], mode='bilinear', align_corners=True)
                for name, head in heads.items()}

    def domain_loss(score: torch.Tensor, value: float) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(score.float(), torch.full_like(score, value, dtype=torch.float32))

    def step(batch: Batch) -> None:
        images, labels = batch
        of_network.zero_grad()
        of_discriminator.zero_grad()
        discriminators.requires_grad_(False)
        with autocast():
            source = predict(images['source'])
            loss = sum(CE_WEIGHTS[name] * F.cross_entropy(logits.float(), labels['source'], ignore_index=255)
                       for name, logits in source.items())
        loss.backward()
        with autocast():
            target = predict(images['target'])
            loss = sum(ADV_WEIGHTS[name] * domain_loss(discriminators[name](logits.softmax(1)), 0.0)
                       for name, logits in target.items())
        loss.backward()
        discriminators.requires_grad_(True)
        for logits_by_head, value in ((source, 0.0), (target, 1.0)):
            with autocast():
                loss = sum(domain_loss(discriminators[name](logits.detach().softmax(1)), value) / 2
                           for name, logits in logits_by_head.items())
            loss.backward()
        of_network.step()
        of_discriminator.step()

    return step


STEPS = {'udatools': udatools_step, 'reference': reference_step}


def measure_time(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds a step by side (one number a turn), and how far the parameters are apart afterwards."""
    models = {'udatools': build_model(args)}
    models['reference'] = copy.deepcopy(models['udatools'])
    start = [parameter.detach().clone() for parameter in models['udatools'].parameters()]
    steps = {name: STEPS[name](model, args) for name, model in models.items()}
    batches = make_batches(args)
    seconds: dict[str, list[float]] = {name: [] for name in steps}

    def turn(name: str, first: int, count: int) -> float:
        synchronise(args.device)
        began = time.perf_counter()
        for index in range(first, first + count):
            steps[name](batches[index % len(batches)])
        synchronise(args.device)
        return (time.perf_counter() - began) / max(count, 1)

    for name in steps:
        turn(name, 0, args.warmup)
    for repeat in range(args.repeats):
        order = list(steps) if repeat % 2 == 0 else list(steps)[::-1]
        for name in order:
            seconds[name].append(turn(name, args.warmup + repeat * args.steps, args.steps))
    pairs = zip(*(model.parameters() for model in models.values()))
    apart = max(float((ours - theirs).detach().abs().max()) for ours, theirs in pairs)
    moved = max(float((now - then).detach().abs().max()) for now, then in zip(models['reference'].parameters(), start))
    return dict(seconds=seconds, difference=apart, moved=moved, steps_taken=args.warmup + args.repeats * args.steps)


def measure_memory(args: argparse.Namespace) -> int:
    """Bytes of one side, alone in this process; see the module docstring for what counts."""
    step, (batch, ) = STEPS[args.memory_of](build_model(args), args), make_batches(args, count=1)
    return peak_memory_of(lambda: [step(batch) for _ in range(3)], args.device)


def summarise(timing: dict[str, Any], memory: dict[str, float] | None) -> dict[str, Any]:
    """Ratios from raw measurements: udatools divided by reference."""
    ours, theirs = timing['seconds']['udatools'], timing['seconds']['reference']
    of_time = ratio(ours, theirs)
    result = dict(
        seconds={name: statistics.median(values) for name, values in timing['seconds'].items()},
        time_ratio=of_time.median, time_ratio_quartiles=(of_time.low, of_time.high),
        difference=timing['difference'], moved=timing['moved'], steps_taken=timing['steps_taken'])
    if memory:
        result |= dict(memory_mib=memory, memory_ratio=memory['udatools'] / max(memory['reference'], 2**-10))
    return result


def format_table(result: dict[str, Any], device: str) -> str:
    """The printed table."""
    low, high = result['time_ratio_quartiles']
    kind = 'allocated on the GPU' if device.startswith('cuda') else 'resident, above the start'
    lines = [f'{"":28s}{"udatools":>12s}{"reference":>12s}{"ratio":>9s}']
    seconds = result['seconds']
    lines.append(f'{"seconds a step (median)":28s}{seconds["udatools"]:12.4f}{seconds["reference"]:12.4f}'
                 f'{result["time_ratio"]:9.3f}   quartiles of the turns {low:.3f} to {high:.3f}')
    if 'memory_mib' in result:
        memory = result['memory_mib']
        lines.append(f'{"peak memory, MiB":28s}{memory["udatools"]:12.0f}{memory["reference"]:12.0f}'
                     f'{result["memory_ratio"]:9.3f}   {kind}, one process each')
    lines.append(f'after {result["steps_taken"]} steps: largest parameter difference {result["difference"]:.2e}, '
                 f'largest parameter change {result["moved"]:.2e}')
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.memory_of:
        print(measure_memory(args))
        return 0
    given = sys.argv[1:] if argv is None else list(argv)
    memory = None if args.no_memory else {
        name: memory_in_fresh_process(__file__, [*given, '--memory-of', name]) / 2**20 for name in STEPS}
    result = summarise(measure_time(args), memory)
    print(format_table(result, args.device))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
