# SPDX-License-Identifier: Apache-2.0
"""Features of both domains in two dimensions: ``python tools/analysis/embedding.py CHECKPOINT [CHECKPOINT] --out features.png``.

Points are pixels, as many of every class and domain, coloured by class, or with --points images whole images, coloured by
domain. With two checkpoints (before and after adaptation) the same points are drawn side by side, each in the features of its own
network. Features have unit length: closeness is by cosine.

Above a panel stand two numbers that need no projection, from all dimensions: how mixed the domains are (share of the other domain
among the 10 nearest neighbours over chance: 0 apart, 1 as mixed as chance), and for pixels how often the nearest source pixel of
a target pixel is of its class.

Classes are those of the ground truth: the source's training images and the target's validation set, which is labelled for
evaluation. --labels prediction takes what the last checkpoint predicts instead, on the target's training images, for a target
without labels.
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a clone works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Command line."""
    from udatools.engine.command_line import add_config_options
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoints', type=Path, nargs='+', metavar='CHECKPOINT',
                        help='one or two: final/model.pth or stages/*/iter_*.pth')
    parser.add_argument('--out', type=Path, required=True, metavar='PICTURE', help='.png, .svg or .pdf')
    parser.add_argument('--config', type=Path, help='training config that says what the domains are (default: of the last run)')
    parser.add_argument('--points', choices=('pixels', 'images'), default='pixels', help='default: pixels')
    parser.add_argument('--method', choices=('pca', 'tsne'), default='pca', help='default: pca; tsne needs scikit-learn')
    parser.add_argument('--labels', choices=('truth', 'prediction'), default='truth', help='classes of pixels (default: truth)')
    parser.add_argument('--classes', nargs='+', metavar='NAME', help='only these (default: all)')
    parser.add_argument('--per-class', type=int, default=60, metavar='N', help='pixels of each class and domain (default: 60)')
    parser.add_argument('--images', type=int, default=200, metavar='N', help='at most this many of each domain (default: 200)')
    parser.add_argument('--perplexity', type=float, default=30.0, help='of tsne (default: 30)')
    parser.add_argument('--level', type=int, default=-1, help='output of the backbone, from 0; -1 is the last (default)')
    parser.add_argument('--titles', nargs='+', metavar='TEXT', help='of the panels (default: before, after)')
    parser.add_argument('--seed', type=int, default=0, help='of what is drawn (default: 0)')
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU where there is one)')
    add_config_options(parser)
    args = parser.parse_args(argv)
    if len(args.checkpoints) > 2:
        parser.error(f'got {len(args.checkpoints)} checkpoints; expected one, or two to compare')
    if args.titles and len(args.titles) != len(args.checkpoints):
        parser.error(f'got {len(args.titles)} titles for {len(args.checkpoints)} checkpoints')
    if args.out.suffix.lower() not in ('.png', '.svg', '.pdf'):
        parser.error(f'--out {args.out}: expected a name that ends with .png, .svg or .pdf')
    return args


def run(args: argparse.Namespace) -> None:
    """Samples, projects, draws and prints."""
    from udatools.engine.domain_features import training_config
    from udatools.engine.embedding import EmbeddingSettings, embed
    from udatools.visualization.embedding_plot import write_embedding_plot
    cfg = training_config(args.checkpoints[-1], args.config, args.cfg_options)
    names = ('points', 'method', 'labels', 'classes', 'per_class', 'images', 'perplexity', 'level', 'seed', 'device')
    found = embed(cfg, args.checkpoints, EmbeddingSettings(**{name: getattr(args, name) for name in names}), args.titles)
    write_embedding_plot(args.out, found.panels, found.classes, found.palette)
    for panel in found.panels:
        print(panel.title.replace('\n', ': '))
    print(f'picture: {args.out}')


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 refused or failed with a reason on stderr, 130 stopped."""
    args = parse_args(argv)
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args))


if __name__ == '__main__':
    sys.exit(main())
