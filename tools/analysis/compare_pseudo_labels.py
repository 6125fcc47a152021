# SPDX-License-Identifier: Apache-2.0
"""P-mIoU of pseudo-labels at equal proportions: ``python tools/analysis/compare_pseudo_labels.py CONFIG CHECKPOINT``.

The comparison of the video adaptation paper's appendix C (Table 7). One trained model labels the target training images with
class-balanced, instance-adaptive and clip-adaptive thresholds, and with the latter on temporally aggregated predictions; the
portion or alpha of each is set such that all keep the same share of the pixels. The labels are scored against ground truth of
the target: for understanding only, a run that chooses anything by it is no longer unsupervised.

Thresholds that follow images or clips start at 0.9 and go a tenth of the way with each one, so on a short video the start, not
alpha, would decide how much is kept. Here the recursion runs over the set beforehand, 50 steps or more, and labels are made with
thresholds that start where it ended. Training keeps the rule of the paper: one pass, from 0.9.

A share that a method cannot reach leaves its cell empty, with the reason on stderr and the exit status 1.

CONFIG is one that makes pseudo-labels of a video (a PseudoLabelHook in a stage, such as vat_vst_minidrive_video.py); model,
images, views and flow are those of the hook. On one process.
"""
import argparse
import itertools
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a clone works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported
from udatools.pseudo_labels import ClassBalancedPolicy, ClipAdaptivePolicy, InstanceAdaptivePolicy  # noqa: E402

AGGREGATED = 'clip_adaptive_aggregated'
#: How far from the wanted share a method may end: many sure pixels share one probability, which a threshold keeps or drops.
TOLERANCE = 0.02
#: Policy at a value of what decides how much it keeps: the portion, or alpha.
METHODS = {
    'class_balanced': partial(ClassBalancedPolicy, step=0.0, maximum=1.0),
    'instance_adaptive': InstanceAdaptivePolicy,
    'clip_adaptive': ClipAdaptivePolicy,
    AGGREGATED: ClipAdaptivePolicy,
}


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Command line."""
    from udatools.engine.command_line import add_config_options
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='a config with a PseudoLabelHook in one of its stages')
    parser.add_argument('checkpoint', type=Path, help='weights of the model that labels: a checkpoint of a stage')
    parser.add_argument('--proportions', type=float, nargs='+', default=[0.3, 0.4], metavar='P',
                        help='shares of the pixels to keep (default: 0.3 0.4, as the paper)')
    parser.add_argument('--methods', nargs='+', choices=list(METHODS), default=list(METHODS), help='default: all')
    parser.add_argument('--out', type=Path, help='keep the labels in OUT/<method>_<proportion> (default: they are not kept)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the numbers there too, with the protocol they follow')
    add_config_options(parser)
    return parser.parse_args(argv)


def hook_config(args: argparse.Namespace) -> dict[str, Any]:
    """The config of the first PseudoLabelHook of the config's stages."""
    from udatools.engine.cli import build_config
    from udatools.engine.runner.stages import expand_stages, merge_stage_config
    cfg = build_config(args.config, options=args.cfg_options)
    for stage in expand_stages(cfg.get('stages') or [dict(name='train')]):
        for hook in merge_stage_config(cfg, stage).to_dict().get('custom_hooks', []):
            if hook['type'] == 'PseudoLabelHook':
                return hook
    raise ValueError(f'{args.config} has no stage with a PseudoLabelHook; give a config that trains on pseudo-labels, such as '
                     'configs/video_da/vat_vst_minidrive_video.py')


def compare(args: argparse.Namespace, folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """One record for each method and proportion, and what could not be reached; labels go into ``folder``."""
    from udatools.engine.hooks.pseudo_label_hook import load_frozen
    from udatools.engine.inference import ImagePredictor, TargetImages
    from udatools.evaluation.pseudo_label_quality import labelled_part, pseudo_label_quality
    from udatools.pseudo_labels import AggregatedPredictor, PseudoLabelStore, frame_positions, generate_pseudo_labels, group_clips
    from udatools.pseudo_labels.proportion import Trials, match_proportion
    hook = hook_config(args)
    images = TargetImages(dict(hook['dataset']))
    truth = labelled_part(hook['dataset'], images.keys)
    single = ImagePredictor([load_frozen(hook['model'], args.checkpoint)], images, **(hook.get('views') or {}))
    clips, predictors = None, {False: single}
    if any(method.startswith('clip') for method in args.methods):
        positions = frame_positions(images.dataset, images.keys)
        clips = group_clips(positions, hook['policy'].get('clip_length', ClipAdaptivePolicy.clip_length))
        if AGGREGATED in args.methods:
            if not hook.get('aggregation'):
                raise ValueError(f'{args.config} labels without aggregation, so it does not say where flow comes from; leave '
                                 f'{AGGREGATED} out of --methods, or give a config such as vat_vst_minidrive_video.py')
            predictors[True] = AggregatedPredictor(single, images, positions, **hook['aggregation'])
    num_classes, records, missed = len(images.dataset.metainfo['classes']), [], []
    for aggregated, predictor in predictors.items():
        methods = [method for method in args.methods if (method == AGGREGATED) == aggregated]
        if not methods:
            continue
        with Trials(predictor, len(images), num_classes, [METHODS[method] for method in methods], clips, folder) as trials:
            for method, proportion in itertools.product(methods, args.proportions):
                make = METHODS[method]
                try:
                    value, share = match_proportion(lambda value, make=make: trials.share(trials.settle(make(value))), proportion)
                except ValueError as error:
                    missed.append(f'{method}: {error}')
                    continue
                if abs(share - proportion) > TOLERANCE:
                    missed.append(f'{method}: the share nearest to {proportion} is {share:.4f}; ask for that one')
                    continue
                store = PseudoLabelStore(folder / f'{method}_{proportion:g}')
                generate_pseudo_labels(predictor, images.keys, trials.settle(make(value)), store, num_classes, clips=clips)
                records.append(dict(protocol=truth.class_set.name, method=method, proportion=proportion, parameter=value,
                                    kept=share, quality=pseudo_label_quality(store.label_dir, truth)))
    return records, missed


def format_table(records: list[dict[str, Any]], methods: list[str], proportions: list[float]) -> str:
    """P-mIoU by proportion (rows) and method (columns), with the parameter that it took and the share that it kept."""
    cells = {(record['proportion'], record['method']):
             f'{record["quality"]["P-mIoU"]:.2f} ({record["parameter"]:.3f}, {record["kept"]:.3f})' for record in records}
    widths = [max(len(method), 20) for method in methods]
    protocol = f', protocol {records[0]["protocol"]}' if records else ''
    lines = [f'P-mIoU (portion or alpha, kept){protocol}', 'proportion  ' + '  '.join(map(str.rjust, methods, widths))]
    for proportion in proportions:
        row = (cells.get((proportion, method), '-').rjust(width) for method, width in zip(methods, widths))
        lines.append(f'{proportion:<10g}  ' + '  '.join(row))
    return '\n'.join(lines)


def run(args: argparse.Namespace) -> int:
    """Compares and prints; returns the exit status."""
    from mmengine.registry import init_default_scope

    from udatools.utils.atomic import write_json_atomic
    init_default_scope('mmseg')
    with tempfile.TemporaryDirectory() as scratch:
        records, missed = compare(args, args.out or Path(scratch))
    print(format_table(records, args.methods, args.proportions))
    if args.json:
        write_json_atomic(args.json, records)
    for reason in missed:
        print(f'error: {reason}', file=sys.stderr)
    return 1 if missed else 0


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 refused, failed or a share out of reach, with a reason on stderr, 130 stopped."""
    args = parse_args(argv)
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args))


if __name__ == '__main__':
    sys.exit(main())
