# SPDX-License-Identifier: Apache-2.0
"""Publish a trained network: ``python tools/model_converters/publish_model.py WORK_DIR/final/model.pth --name NAME --out DIR``.

Writes a plain mmseg model as DIR/NAME-<hash>.pth and DIR/NAME-<hash>.safetensors, and its config DIR/NAME.py. Of the checkpoint
of a stage (WORK_DIR/stages/*/iter_*.pth) --weights teacher takes the teacher. See tools/model_converters/README.md.
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description='Strip a checkpoint to a plain mmseg model, as .pth and .safetensors')
    parser.add_argument('checkpoint', type=Path, help='final/model.pth, or stages/*/iter_*.pth')
    parser.add_argument('--name', required=True, help='of the model, such as the name of its config')
    parser.add_argument('--out', type=Path, required=True, help='folder to write to')
    parser.add_argument('--weights', choices=('student', 'teacher'), default='student', help='of a stage (default: %(default)s)')
    parser.add_argument('--config', help='of the checkpoint (default: the config.py beside it, or the one inside)')
    parser.add_argument('--dtype', choices=('float32', 'float16'), default='float32', help='of the files (default: %(default)s)')
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Publishes, and says what to do with the result."""
    from udatools.engine.publish import publish_model
    from udatools.utils.download import file_digest
    done = publish_model(args.checkpoint, args.out, args.name, weights=args.weights, config=args.config, dtype=args.dtype)
    for path in (done.pth, done.safetensors):
        print(f'{path}: {path.stat().st_size} bytes, {done.parameters / 1e6:.2f} M parameters, {args.weights}, '
              f'sha256 {file_digest(path)}')
    print(f'Evaluate it: python tools/test.py {done.config} {done.safetensors}')


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 refused with a reason on stderr."""
    args = parse_args(argv)
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args))


if __name__ == '__main__':
    sys.exit(main())
