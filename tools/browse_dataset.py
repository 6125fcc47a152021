# SPDX-License-Identifier: Apache-2.0
"""Show what the network will see: ``python tools/browse_dataset.py configs/labor/spl_minidrive.py --count 4``.

For each domain a picture is written with a row for each item of training: the image after every transform with its label below,
then the input of the network. Pixels without a label are grey and dark. A clip has a row a frame, with its flow as colours.
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Command line."""
    from udatools.engine.command_line import add_config_options
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='path of a config file')
    parser.add_argument('--domain', choices=('source', 'target', 'both'), default='both')
    parser.add_argument('--count', type=int, default=4, help='items of each domain (default: 4)')
    parser.add_argument('--start', type=int, default=0, help='counter of the first item (default: 0)')
    parser.add_argument('--stage', help='name of a stage, such as warmup or round1_main (default: the last)')
    parser.add_argument('--out', type=Path, help='folder for the pictures (default: browse_<stage> in the work directory)')
    parser.add_argument('--work-dir', help='of the run whose labels are shown (default: work_dirs/<config name>)')
    parser.add_argument('--seed', type=int, help='overrides randomness.seed')
    parser.add_argument('--width', type=int, default=240, help='of a column, in pixels (default: 240)')
    add_config_options(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Draws and names the pictures."""
    from udatools.engine.cli import build_config
    from udatools.visualization.browse import browse, choose_stage
    cfg = build_config(args.config, work_dir=args.work_dir, seed=args.seed, options=args.cfg_options)
    stage = choose_stage(cfg, args.stage)
    out = args.out or Path(cfg.work_dir) / f'browse_{stage.name}'
    for path in browse(cfg, stage, out=out, work_dir=cfg.work_dir, domain=args.domain, count=args.count, start=args.start,
                       width=args.width):
        print(path)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    args = parse_args(argv)
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args))


if __name__ == '__main__':
    sys.exit(main())
