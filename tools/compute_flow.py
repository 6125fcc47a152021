# SPDX-License-Identifier: Apache-2.0
"""Compute optical flow ahead of training: ``python tools/compute_flow.py CONFIG`` or ``... CamVidDomain --root data/camvid``.

Writes OUT/<offset>/<key>.png, KITTI PNGs, for every frame of a domain that has a neighbour at an offset. Which frames, and
where to, is what the clips of the config and the aggregation of its pseudo-labels say, over all of its stages; of a data set
class --offsets and --out have to. Offsets are in frame numbers of the clip: -1 is the frame before, or -2 where every second
frame is kept. Ctrl-C at any time; the same command goes on, and files that are there and whole stay as they are. Several
processes share the work:

    torchrun --nproc_per_node 4 tools/compute_flow.py CONFIG --launcher pytorch

--check reads the files and says what warping by them leaves of the images, --reference how far they are from exact flow.
"""
import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported

SHOWN = 20  # problems


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Command line."""
    from mmengine.config import DictAction

    from udatools.engine.command_line import add_config_options, parse_with_launcher
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', help='a training config, or the class of a video data set such as CamVidDomain')
    parser.add_argument('--domain', choices=('source', 'target', 'val'), default='target', help='of the config (default: target)')
    parser.add_argument('--root', help='data_root of the data set class')
    parser.add_argument('--split', default='train', help='split of the data set class (default: train)')
    parser.add_argument('--offsets', type=int, nargs='+', metavar='N', help='frames that flow leads to, relative to each frame, '
                        'such as -1 1 (default: those that the config reads)')
    parser.add_argument('--out', type=Path, help='folder of the flow (default: where the config reads it)')
    parser.add_argument('--estimator', default='DISFlow', help='DISFlow (default), RAFTFlow, PrecomputedFlow')
    parser.add_argument('--estimator-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE',
                        help='its arguments, such as preset=fast, or variant=large weights=raft.pth')
    parser.add_argument('--batch-size', type=int, default=4, help='pairs that the estimator gets at a time (default: 4)')
    parser.add_argument('--precision', type=int, default=16, choices=(64, 32, 16, 8, 4), metavar='STEPS',
                        help='steps a pixel that flow is rounded to, 64, 32, 16, 8 or 4; fewer make smaller files (default: 16, '
                        'off by 1/32 pixel at most)')
    parser.add_argument('--check', action='store_true', help='compute nothing: read the flow, print how good it is, and exit '
                        'with 1 if files are missing or damaged')
    parser.add_argument('--reference', metavar='DIR', help='folder of exact flow in the same layout: print end-point errors')
    parser.add_argument('--sample', type=int, metavar='N', help='look at N pairs, evenly spread, for --check and --reference')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the numbers of --check and --reference there too')
    add_config_options(parser)
    args = parse_with_launcher(parser, argv)
    if args.json and not (args.check or args.reference):
        parser.error('--json holds the numbers of --check and --reference; give one of them')
    return args


def run(args: argparse.Namespace) -> int:
    """Computes and checks; returns the exit status."""
    from mmengine.config import Config
    from mmengine.dist import is_main_process
    from mmengine.registry import init_default_scope

    from udatools.engine.cli import build_config
    from udatools.engine.flow import LEFTOVERS, claim_flow, compute_flow
    from udatools.engine.flow_check import check_flow, format_check
    from udatools.engine.resumable import sole_writer
    from udatools.engine.runner.distributed import init_distributed, on_main
    from udatools.engine.runner.flow_plan import collect_pairs, task_of_class, tasks_of_config
    from udatools.registry import FLOW_ESTIMATORS
    from udatools.utils.atomic import write_json_atomic
    init_default_scope('mmseg')
    if args.data.endswith('.py'):
        cfg = build_config(args.data, options=args.cfg_options, launcher=args.launcher)
        tasks = tasks_of_config(cfg, args.domain)
    else:
        cfg = Config(dict(launcher=args.launcher))
        tasks = [task_of_class(args.data, args.root, args.split)]
    init_distributed(cfg)
    folders = collect_pairs(tasks, offsets=args.offsets or (), out=args.out)
    say = print if is_main_process() else lambda *_: None
    settings = dict(type=args.estimator, **args.estimator_options)
    estimator = None if args.check else FLOW_ESTIMATORS.build(dict(settings))
    named_there = args.data.endswith('.py') and args.out is None  # folder and suffix of the files are those of the config
    for out, suffix, _, _ in folders:
        if estimator is not None and named_there and suffix != '.png':
            raise ValueError(f'{args.data} reads {suffix} files from {out}, but this tool writes KITTI PNGs; take the suffix out '
                             'of its flow, or put files of another tool there')
    reports = {}
    for out, suffix, keys, pairs in folders:
        if estimator is not None:
            with sole_writer(out, LEFTOVERS):
                on_main(partial(claim_flow, out, dict(estimator=settings, precision=args.precision)))
                done = compute_flow(pairs, estimator, out, batch_size=args.batch_size, precision=args.precision)
            say(f'{len(pairs)} pairs in {out}: {done.computed} computed ({done.stored_bytes / 2**20:.1f} MiB), {done.reused} '
                f'were there; KITTI PNG, values rounded to 1/{args.precision} pixel')
            if alone := len(keys - {pair.key for pair in pairs}):
                say(f'no flow starts from {alone} of {len(keys)} frames, which have no neighbour at these offsets')
        if args.check or args.reference:
            report = reports[str(out)] = check_flow(pairs, out, reference=args.reference, sample=args.sample,
                                                      suffix=suffix if named_there else None)
            say(format_check(report))
            if problems := report['problems']:
                say(f'{len(problems)} pairs without usable flow; the first {min(SHOWN, len(problems))}:')
                say('\n'.join(problems[:SHOWN]))
    if args.json and is_main_process():
        write_json_atomic(args.json, dict(folders=reports) if len(reports) > 1 else report)
    return int(any(report['problems'] for report in reports.values()))


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 refused or failed with a reason on stderr, 130 stopped."""
    args = parse_args(argv)
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args), stopped='stopped; the same command goes on from here')


if __name__ == '__main__':
    from udatools.engine.runner.distributed import exit_process
    exit_process(main())
