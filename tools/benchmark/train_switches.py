# SPDX-License-Identifier: Apache-2.0
"""Training steps of any configs, plain and with each switch: how much time and memory, and do the numbers stay the same.

    python tools/benchmark/train_switches.py configs/{adaptsegnet/adaptsegnet,iast/iast,fda/fda}_minidrive.py \\
        --size 256x128 --batch 4 --threads 1

Switches: ``shared_forward`` (source and target as one batch), ``contiguous`` (channels-last memory off), ``bf16`` (autocast; on
a CPU too) and ``compile`` (torch.compile of the network). The step is the runner's, preprocessing and optimisers included, of
the last stage of a config; images and labels are random, and no hook of the stage is run.

Time: all variants of a config live in one process and take turns; medians against the plain step of the same run. A switch that
does not work here is reported as "not available". Memory (--memory): one fresh process each, as in ``train_step.py``. Same
numbers: one forward and backward pass of both from the same weights and random state with batch norm in evaluation mode, where
``shared_forward`` is the same function; the largest difference of a logged loss, and of a gradient as a share of the largest.
"""
import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

import torch  # noqa: E402
from mmengine.config import Config, DictAction  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from mmengine.structures import PixelData  # noqa: E402
from mmseg.structures import SegDataSample  # noqa: E402

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported
from udatools.engine.benchmarking import memory_in_fresh_process, parse_size, peak_memory_of, synchronise  # noqa: E402
from udatools.engine.runner.stages import expand_stages, fill_placeholders, merge_stage_config  # noqa: E402
from udatools.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS  # noqa: E402
from udatools.utils.atomic import write_json_atomic  # noqa: E402

SWITCHES = ('shared_forward', 'contiguous', 'bf16', 'compile')
Batch = dict[str, dict[str, list]]


def stage_config(path: str, args: argparse.Namespace, scratch: Path) -> tuple[str, Config]:
    """Name and config of the stage that is measured; files that its objectives read lie in ``scratch``."""
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(copy.deepcopy(args.cfg_options))
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    stages = {stage.name: stage for stage in expand_stages(cfg.get('stages') or [dict(name='train')])}
    name = args.stage if args.stage in stages else list(stages)[-1]
    stage = stages[name]
    values = {'work_dir': str(scratch), 'round': str(stage.round)}
    plain = fill_placeholders(merge_stage_config(cfg, stage).to_dict(), lambda key: values.get(key, 'none'))
    folder = scratch / 'pseudo_labels' / f'round_{stage.round}'
    write_json_atomic(folder / 'thresholds.json', dict(final={str(i): 0.5 for i in range(cfg.num_classes)}))
    return name, Config(plain)


def build(cfg: Config, args: argparse.Namespace, switch: str, *, bn_mode: str | None = None) -> torch.nn.Module:
    """The model with one switch on (``plain``: none), always with the same weights."""
    model = copy.deepcopy(cfg.model.to_dict() if hasattr(cfg.model, 'to_dict') else dict(cfg.model))
    if switch in ('shared_forward', 'compile'):
        model[switch] = True
    if switch == 'contiguous':
        model['channels_last'] = False
    if switch == 'shared_forward':
        model['running_statistics'] = 'both'
    if bn_mode:
        model['segmentor']['backbone']['bn_mode'] = bn_mode
    if 'size' in (model.get('data_preprocessor') or {}):
        model['data_preprocessor']['size'] = args.size[::-1]
    torch.manual_seed(0)
    built = MODELS.build(model).to(args.device).train()
    if built.teacher is not None:
        built.teacher.copy_from(built.segmentor)
    return built


def make_batch(cfg: Config, args: argparse.Namespace, index: int) -> Batch:
    """What a loader gives: uint8 images (3, H, W) of the stage's domains, and labels in patches with some pixels ignored."""
    generator = torch.Generator().manual_seed(index)
    (width, height), batch = args.size, {'inputs': {}, 'data_samples': {}}
    for name in ('source', 'target'):
        if not cfg.train_dataloader.dataset.get(name):
            continue
        images = torch.randint(0, 256, (args.batch, 3, height, width), generator=generator, dtype=torch.uint8)
        patches = torch.randint(0, cfg.num_classes, (args.batch, 1, -(-height // 16), -(-width // 16)), generator=generator)
        labels = patches.repeat_interleave(16, 2).repeat_interleave(16, 3)[:, :, :height, :width].clone()
        labels[:, :, :4] = 255
        meta = dict(img_shape=(height, width), ori_shape=(height, width))
        batch['inputs'][name] = list(images)
        batch['data_samples'][name] = [SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=label)) for label in labels]
    return batch


def autocast(args: argparse.Namespace, switch: str) -> Any:
    """bfloat16 where the variant asks for it."""
    return torch.autocast(args.device.split(':')[0], torch.bfloat16) if switch == 'bf16' else nullcontext()


def build_optimiser(model: torch.nn.Module, cfg: Config) -> Any:
    """As the runner; bfloat16 needs no loss scaler, so the wrapper is the plain one in every variant."""
    settings = {key: value for key, value in cfg.optim_wrapper.to_dict().items() if key != 'constructor'}
    return OPTIM_WRAPPER_CONSTRUCTORS.build(dict(type='UDAOptimWrapperConstructor', optim_wrapper_cfg=settings))(model)


def forward(model: torch.nn.Module, batch: Batch, args: argparse.Namespace, switch: str) -> tuple[torch.Tensor, dict]:
    """Total loss and logged values."""
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    with autocast(args, switch):
        return model.parse_losses(model(**data, mode='loss'))


def differences(cfg: Config, args: argparse.Namespace, switch: str) -> dict[str, float]:
    """Against the plain model: of the logged values, and of the gradients as a share of the largest one."""
    found = []
    for name in ('plain', switch):
        model = build(cfg, args, name, bn_mode='eval')
        torch.manual_seed(1)
        total, log = forward(model, make_batch(cfg, args, 0), args, name)
        total.backward()
        found.append(({key: float(value.detach()) for key, value in log.items()},
                      {key: parameter.grad for key, parameter in model.named_parameters() if parameter.grad is not None}))
    (log, gradients), (other_log, other_gradients) = found
    largest = max(float(value.abs().max()) for value in gradients.values())
    apart = max(float((value - other_gradients[key]).abs().max()) for key, value in gradients.items())
    return dict(loss=max(abs(value - other_log[key]) for key, value in log.items()), gradient=apart / max(largest, 1e-30))


class Side:
    """One variant in training."""

    def __init__(self, cfg: Config, args: argparse.Namespace, switch: str) -> None:
        self.args, self.switch, self.seconds = args, switch, []
        self.model = build(cfg, args, switch)
        self.optimiser = build_optimiser(self.model, cfg)
        self.batches = [make_batch(cfg, args, index) for index in range(2)]

    def steps(self, count: int) -> float:
        """Seconds a step."""
        synchronise(self.args.device)
        began = time.perf_counter()
        for index in range(count):
            total, _ = forward(self.model, self.batches[index % 2], self.args, self.switch)
            self.optimiser.update_params(total)
            if self.model.teacher is not None:
                self.model.teacher.update(self.model.segmentor, index)
        synchronise(self.args.device)
        return (time.perf_counter() - began) / max(count, 1)


def measure(path: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One record a variant of one config: ``time`` ratio and ``difference``, or ``problem``."""
    with tempfile.TemporaryDirectory() as scratch:
        stage, cfg = stage_config(path, args, Path(scratch))
        records = [dict(config=Path(path).stem, stage=stage, switch=name) for name in ('plain', *args.switches)]
        sides: dict[str, Side] = {}
        for record in records:
            name = record['switch']
            try:
                if name == 'shared_forward' and not all(cfg.train_dataloader.dataset.get(part) for part in ('source', 'target')):
                    raise ValueError('the stage has one domain')
                if name != 'plain':
                    record['difference'] = differences(cfg, args, name)
                side = Side(cfg, args, name)
                side.steps(args.warmup)
                sides[name] = side
            except Exception as error:  # a machine without a compiler, an operation without bfloat16 ...
                record['problem'] = _one_line(error)
                if name == 'plain':  # an objective that a hook of its stage has to prepare
                    return [record]
        for repeat in range(args.repeats):
            for side in list(sides.values())[::1 if repeat % 2 == 0 else -1]:
                side.seconds.append(side.steps(args.steps))
        plain = statistics.median(sides['plain'].seconds)
        for record in records:
            if record['switch'] in sides:
                record['time'] = statistics.median(sides[record['switch']].seconds) / plain
                if args.memory:
                    command = [path, *args.given, '--memory-of', record['switch']]
                    record['mib'] = memory_in_fresh_process(__file__, command) / 2**20
        return records


def _one_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f'{type(error).__name__}: {text[0][:90]}' if text else type(error).__name__


def measure_memory(path: str, args: argparse.Namespace) -> int:
    """Bytes of one variant, alone in this process."""
    with tempfile.TemporaryDirectory() as scratch:
        side = Side(stage_config(path, args, Path(scratch))[1], args, args.memory_of)
        return peak_memory_of(lambda: side.steps(3), args.device)


def format_table(records: Sequence[dict[str, Any]]) -> str:
    """The printed table, in Markdown; ratios are to the plain step of the same config."""
    lines = ['| config | stage | step | time | memory | loss differs by | gradient differs by |', '|---|---|---|---|---|---|---|']
    plain = {record['config']: record.get('mib') for record in records if record['switch'] == 'plain'}
    for record in records:
        if 'problem' in record:
            cells = [f'not available: {record["problem"]}', '', '', '']
        else:
            memory = f'{record["mib"] / plain[record["config"]]:.2f}' if record.get('mib') and plain[record['config']] else '-'
            apart = record.get('difference')
            numbers = [f'{apart[key]:.0e}' if apart[key] else '0' for key in ('loss', 'gradient')] if apart else ['-', '-']
            cells = [f'{record["time"]:.2f}', memory, *numbers]
        lines.append(f'| {" | ".join([record["config"], record["stage"], record["switch"], *cells])} |')
    return '\n'.join(lines)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', help='config files')
    parser.add_argument('--switches', nargs='*', choices=SWITCHES, default=list(SWITCHES))
    parser.add_argument('--stage', help='stage to measure, where a config has it; otherwise the last one')
    parser.add_argument('--size', type=parse_size, default=(256, 128), help='WIDTHxHEIGHT of both domains')
    parser.add_argument('--batch', type=int, default=4, help='images of each domain')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--repeats', type=int, default=9, help='turns of each variant')
    parser.add_argument('--steps', type=int, default=1, help='steps a turn')
    parser.add_argument('--warmup', type=int, default=2, help='steps of each variant before the clock starts')
    parser.add_argument('--threads', type=int, help='torch.set_num_threads')
    parser.add_argument('--memory', action='store_true', help='also the peak memory, each variant in a process of its own')
    parser.add_argument('--json', type=Path, help='also write the numbers to this file')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE')
    parser.add_argument('--memory-of', choices=('plain', *SWITCHES), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    given = sys.argv[1:] if argv is None else list(argv)
    args.given = [item for item in given if item not in args.configs]
    return args


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    args = parse_args(argv)
    MMLogger.get_current_instance().setLevel('WARNING')
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.memory_of:
        print(measure_memory(args.configs[0], args))
        return 0
    records = [record for path in args.configs for record in measure(path, args)]
    print(format_table(records))
    if args.json:
        args.json.write_text(json.dumps(records, indent=2) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
