# SPDX-License-Identifier: Apache-2.0
"""Export a trained network to ONNX: ``python tools/export.py WORK_DIR/final/model.pth --out model.onnx --size 512 1024``.

Pictures in (uint8, RGB), train ids out; docs/export.md says how the input and the outputs look. onnxruntime is asked about the
same pictures as PyTorch, and the file is written if they agree. Needs the extra `onnx`: pip install "udatools[onnx]".
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported

# As in udatools.engine.onnx_export, which takes seconds to import.
OUTPUTS = ('ids', 'confidence', 'logits')


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='final/model.pth, stages/*/iter_*.pth, or a checkpoint of mmseg')
    parser.add_argument('--out', type=Path, required=True, help='the file to write, *.onnx')
    parser.add_argument('--config', help='of the checkpoint (default: the config.py beside it, or the one inside)')
    parser.add_argument('--classes', help='class set, or a JSON file with classes and palette (default: those of the checkpoint)')
    parser.add_argument('--size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'),
                        help='of the pictures (default: what the test pipeline of the config resizes to)')
    parser.add_argument('--dynamic', action='store_true', help='take batches and pictures of any size, not one of --size')
    parser.add_argument('--normalised', action='store_true', help='the input is float32 (batch, 3, height, width), '
                        'which the caller has normalised, not uint8 (batch, height, width, 3)')
    parser.add_argument('--outputs', nargs='+', choices=OUTPUTS, default=['ids'], help='of the graph (default: ids)')
    parser.add_argument('--images', nargs='+', metavar='IMAGE', help='pictures to compare with PyTorch, a folder, a pattern or a '
                        'video (default: two of noise)')
    parser.add_argument('--max-images', type=int, default=10, metavar='N', help='of them, from the first on (default: 10)')
    parser.add_argument('--tolerance', type=float, default=1e-3, help='largest difference of logits, relative to the largest one '
                        '(default: 0.001)')
    parser.add_argument('--device', default='cpu', help="PyTorch's, such as cuda:0 (default: cpu)")
    parser.add_argument('--overwrite', action='store_true', help='replace the file')
    args = parser.parse_args(argv)
    if args.max_images < 1:
        parser.error(f'--max-images {args.max_images}: expected at least 1')
    return args


def run(args: argparse.Namespace) -> None:
    """Exports, compares and writes."""
    from itertools import islice

    from udatools.engine.frame_predictor import load_frame_predictor
    from udatools.engine.frames import open_input
    from udatools.engine.onnx_export import describe, export_onnx
    images = None
    if args.images:
        images = [frame.image[..., ::-1] for frame in islice(open_input(args.images).read(), args.max_images)]
    predictor = load_frame_predictor(args.checkpoint, args.config, device=args.device, classes=args.classes)
    written = export_onnx(predictor, args.out, size=tuple(args.size) if args.size else None, dynamic=args.dynamic,
                          raw=not args.normalised, outputs=args.outputs, images=images, tolerance=args.tolerance,
                          overwrite=args.overwrite)
    height, width = written.size
    sizes = f'{height}x{width}' if written.smallest is None else f'any size from {written.smallest} pixels on'
    print(f'{written.path}: pictures of {sizes}, {written.path.stat().st_size / 2**20:.1f} MiB')
    print(f'onnxruntime and PyTorch: {describe(written.agreement)}')


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 refused or failed with a reason on stderr, 130 stopped."""
    args = parse_args(argv)
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args), stopped='stopped; nothing is written')


if __name__ == '__main__':
    sys.exit(main())
