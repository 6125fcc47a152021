# SPDX-License-Identifier: Apache-2.0
"""Convert a published DeepLabv2 checkpoint: ``python tools/model_converters/deeplabv2.py IN.pth OUT_DIR``.

Knows the key layout of AdaptSegNet and of the code bases that kept it (ADVENT, CRST, ...): ResNet-101 with one classifier or
two, and VGG16. Writes OUT_DIR/model.pth and OUT_DIR/config.py; then

    python tools/test.py OUT_DIR/config.py OUT_DIR/model.pth

evaluates it. See tools/model_converters/README.md.
"""
import argparse
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))  # a checkout works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported


def parse_rename(text: str) -> tuple[str, str]:
    """``OLD=NEW`` to (OLD, NEW)."""
    old, sign, new = text.partition('=')
    if not old or not sign:
        raise argparse.ArgumentTypeError(f'{text!r} is not OLD=NEW, for instance backbone\\.= to drop that prefix')
    return old, new


def parse_args() -> argparse.Namespace:
    """Command line."""
    from mmengine.config import DictAction

    from udatools.engine.model_converters import LAYOUTS, PREPROCESSING
    parser = argparse.ArgumentParser(description='Convert a published DeepLabv2 checkpoint of the AdaptSegNet line')
    parser.add_argument('source', type=Path, help='the published .pth file')
    parser.add_argument('folder', type=Path, help='where model.pth and config.py go')
    parser.add_argument('--layout', choices=('auto', *LAYOUTS), default='auto', help='of the keys (default: find out)')
    parser.add_argument('--classes', default='cityscapes19', help='class set of the outputs (default: %(default)s)')
    parser.add_argument('--protocols', nargs='+', default=[], metavar='NAME',
                        help='what the config reports, such as synthia16 synthia13 (default: the class set)')
    parser.add_argument('--branches', choices=('auto', 'all', 'first-two'), default='auto',
                        help='of each classifier; first-two: dilations 6 and 12 only, as the first code of AdaptSegNet computes '
                             '(default: first-two if the others were never trained)')
    parser.add_argument('--preprocessing', choices=tuple(PREPROCESSING), default='caffe',
                        help='how images were normalised in training (default: %(default)s: BGR less a mean)')
    parser.add_argument('--rename', nargs='+', action='extend', type=parse_rename, default=[], metavar='OLD=NEW',
                        help='regular expression and replacement for foreign key names; an empty result leaves the key out')
    parser.add_argument('--dataset', type=Path,
                        help='config with test_dataloader and test_pipeline (default: Cityscapes, or CamVid)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE',
                        help='of the network, such as segmentor.backbone.depth=50')
    parser.add_argument('--backbone-only', action='store_true',
                        help='write only the backbone, for segmentor.backbone.weights; no config')
    parser.add_argument('--force', action='store_true', help='overwrite OUT_DIR/model.pth and config.py')
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    """Converts, and says what to do with the result."""
    from udatools.engine.model_converters import convert_checkpoint
    done = convert_checkpoint(
        args.source, args.folder, bases=REPO / 'configs' / '_base_', layout=args.layout, classes=args.classes,
        protocols=args.protocols, branches=args.branches, preprocessing=args.preprocessing, rename=args.rename,
        dataset=args.dataset, options=args.cfg_options, backbone_only=args.backbone_only, force=args.force)
    print(f'{done.checkpoint}: layout {done.layout}, {done.parameters / 1e6:.2f} M parameters, branches: {done.branches}')
    if done.config is None:
        print(f'Use it as a backbone: --cfg-options segmentor.backbone.weights={done.checkpoint}')
    else:
        print(f'Evaluate it: python tools/test.py {done.config} {done.checkpoint}')


def main() -> int:
    """Returns the exit status: 0 done, 1 refused with a reason on stderr."""
    args = parse_args()
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args))


if __name__ == '__main__':
    sys.exit(main())
