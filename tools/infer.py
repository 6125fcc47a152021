# SPDX-License-Identifier: Apache-2.0
"""Look at images or a video with a trained network: ``python tools/infer.py WORK_DIR/final/model.pth drive.mp4 --out DIR``.

The network is a checkpoint or a name of the model zoo: ``python tools/infer.py spl_minidrive drive.mp4 --out DIR`` works at once.
The input is an image (or several), a folder, a pattern such as 'drive/*.png', or a video file; frames are read one after another.
Writes DIR/overlay/<name>.png, or DIR/overlay.mp4 of a video, at the size of the input; --save chooses other pictures. Ctrl-C at
any time; the same command goes on, and files that are there stay.

--save panoptic writes DIR/panoptic/<name>.png and DIR/panoptic.json as Cityscapes-VPS has them, for VPQ^s of a video:

    python tools/infer.py MODEL data/cityscapes_vps/val/img --out DIR --save panoptic
    python tools/eval_vpq.py GT.json DIR/panoptic.json --semantic --protocol viper15

--compare makes a video for people: input, prediction of a source-only network, adapted prediction, flow, and the pseudo-label
before and after refinement.

    python tools/infer.py ADAPTED/final/model.pth drive.mp4 --compare SOURCE_ONLY/final/model.pth --out DIR --stills 0 15 29
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported

# As in udatools.engine.prediction_writer, which takes seconds to import.
KINDS = ('overlay', 'colour', 'ids', 'confidence', 'panoptic')


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Command line."""
    from mmengine.config import DictAction
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='final/model.pth, stages/*/iter_*.pth, a .safetensors file, a checkpoint of mmseg, '
                        'or a name of the model zoo (tools/download.py --list)')
    parser.add_argument('input', nargs='+', help='an image or several, a folder, a pattern, or a video file')
    parser.add_argument('--out', type=Path, required=True, help='folder to write to; with --compare, or an .mp4 file')
    parser.add_argument('--config', help='of the checkpoint (default: the config.py beside it, or the one inside)')
    parser.add_argument('--classes', help='class set, or a JSON file with classes and palette (default: those of the checkpoint)')
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU where there is one)')
    parser.add_argument('--overwrite', action='store_true', help='replace what is there')
    plain = parser.add_argument_group('pictures of each frame')
    plain.add_argument('--save', nargs='+', choices=KINDS, help='classes over the picture (default), their colours, train ids as '
                       'PNG, probability of the class as PNG, round(255 p), a panoptic set whose segments are whole classes')
    plain.add_argument('--batch-size', type=int, help='frames of one size that the network gets at a time (default: 1)')
    compare = parser.add_argument_group('side by side')
    compare.add_argument('--compare', metavar='CHECKPOINT', help='of the source-only network')
    compare.add_argument('--compare-config', metavar='CONFIG', help='of that checkpoint, as --config')
    compare.add_argument('--stills', type=int, nargs='+', default=[], metavar='N', help='frames to write as PNG too, from 0')
    compare.add_argument('--fps', type=float, help='frames a second (default: as the video, 10 for images)')
    compare.add_argument('--columns', type=int, choices=(2, 3), default=3, help='of panels (default: 3)')
    compare.add_argument('--panel-width', type=int, default=480, help='of a panel, about, in pixels (default: 480)')
    compare.add_argument('--estimator', default='DISFlow', help='of flow: DISFlow (default), RAFTFlow, PrecomputedFlow')
    compare.add_argument('--estimator-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE',
                         help='its arguments, such as preset=fast, or variant=large weights=raft.pth')
    args = parser.parse_args(argv)
    if args.compare and (args.save or args.batch_size):
        parser.error('--save and --batch-size are for pictures of each frame; leave them out, or --compare')
    if not args.compare and (args.stills or args.compare_config or args.fps):
        parser.error('--stills, --compare-config and --fps belong to --compare; name the other checkpoint')
    if args.fps is not None and not args.fps > 0:
        parser.error(f'--fps {args.fps}: expected more than 0 frames a second')
    return args


def run(args: argparse.Namespace) -> int:
    """Predicts and writes; returns the exit status."""
    from udatools.engine.clip_comparison import ClipComparison, write_comparison
    from udatools.engine.frame_predictor import load_frame_predictor
    from udatools.engine.frames import open_input
    from udatools.engine.prediction_writer import write_predictions
    frames = open_input(args.input, out=args.out)
    for problem in frames.problems:
        print(f'bad: {problem}', file=sys.stderr, flush=True)
    network = dict(device=args.device, classes=args.classes)
    predictor = load_frame_predictor(args.checkpoint, args.config, **network)
    if args.compare:
        other = load_frame_predictor(args.compare, args.compare_config, **network)
        comparison = ClipComparison(predictor, other, frames, flow=dict(type=args.estimator, **args.estimator_options))
        written = write_comparison(comparison, args.out, stills=args.stills, fps=args.fps, columns=args.columns,
                                   panel_width=args.panel_width, overwrite=args.overwrite)
        print(f'{len(frames)} frames in {written.video}, {len(written.stills)} stills; pseudo-labels of {written.kept:.1%} of '
              f'the pixels, {written.refined:.1%} after refinement')
    else:
        done = write_predictions(predictor, frames, args.out, save=args.save or ['overlay'], batch_size=args.batch_size or 1,
                                 overwrite=args.overwrite)
        print(f'{len(frames)} frames in {args.out}: {done.predicted} predicted, {done.reused} were there')
    return 1 if frames.problems else 0


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 refused, failed or a damaged video, with a reason on stderr, 130 stopped."""
    args = parse_args(argv)
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args), stopped='stopped; nothing half-written is left')


if __name__ == '__main__':
    sys.exit(main())
