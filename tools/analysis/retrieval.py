# SPDX-License-Identifier: Apache-2.0
"""Which images of the other domain are nearest in feature space: ``python tools/analysis/retrieval.py CHECKPOINT --out DIR``.

An image is described by the features of the backbone, averaged over it; similarity is the cosine. DIR/source_to_target.png shows
source images and their nearest target images, DIR/target_to_source.png the other direction, and DIR/retrieval.json has all of it,
with one number: the share of the other domain among the k nearest neighbours of an image in both domains together, against
chance. 0 is a network that keeps the domains apart, 1 one that does not tell them apart.

Source and target are the training images of the run's config; no label of the target is opened. Where the domains are far apart,
a few images of the other one are the nearest to everything; --centre takes the mean of its domain away from every descriptor, so
that the pictures are about content. The number is of the descriptors as they are.
"""
import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a clone works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Command line."""
    from udatools.engine.command_line import add_config_options
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', type=Path, help='final/model.pth or stages/*/iter_*.pth')
    parser.add_argument('--out', type=Path, required=True, help='folder to write to')
    parser.add_argument('--config', type=Path, help='training config that says what the domains are (default: that of the run)')
    parser.add_argument('--images', type=int, default=500, metavar='N', help='at most this many of each domain (default: 500)')
    parser.add_argument('--queries', type=int, default=6, metavar='N', help='rows of a picture (default: 6)')
    parser.add_argument('-k', '--neighbours', type=int, default=5, metavar='K', help='columns of a picture (default: 5)')
    parser.add_argument('--centre', action='store_true', help='search with descriptors minus the mean of their domain')
    parser.add_argument('--level', type=int, default=-1, help='output of the backbone, from 0; -1 is the last (default)')
    parser.add_argument('--seed', type=int, default=0, help='of the images and queries that are drawn (default: 0)')
    parser.add_argument('--width', type=int, default=200, help='of a picture in the grid, in pixels (default: 200)')
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU where there is one)')
    add_config_options(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Describes, searches, draws and prints."""
    import numpy as np

    from udatools.engine.domain_features import choose_keys, domain_images, image_descriptors, training_config
    from udatools.engine.frame_predictor import load_frame_predictor
    from udatools.ops.retrieval import domain_mixing, nearest_neighbours
    from udatools.utils.atomic import write_bytes_atomic, write_json_atomic
    from udatools.utils.png import read_image
    from udatools.utils.rng import make_generator
    from udatools.visualization.panels import encode_png
    from udatools.visualization.retrieval_grid import retrieval_grid
    if args.neighbours < 1 or args.queries < 1:
        raise ValueError(f'got {args.queries} queries and {args.neighbours} neighbours; expected at least 1 of each')
    cfg = training_config(args.checkpoint, args.config, args.cfg_options)
    predictor = load_frame_predictor(args.checkpoint, device=args.device)
    sets = {domain: domain_images(cfg, domain) for domain in ('source', 'target')}
    keys = {domain: choose_keys(images, args.images, args.seed, domain) for domain, images in sets.items()}
    found = {domain: image_descriptors(predictor, images, keys[domain], level=args.level, title=domain)
             for domain, images in sets.items()}

    searched = {domain: value - value.mean(0) if args.centre else value for domain, value in found.items()}

    def picture(domain: str) -> Any:
        return lambda key: np.ascontiguousarray(read_image(sets[domain].image_path(key))[..., ::-1])

    record: dict[str, Any] = dict(schema_version=1, level=args.level, centred=args.centre, seed=args.seed,
                                  images={domain: len(chosen) for domain, chosen in keys.items()})
    for query, gallery in (('source', 'target'), ('target', 'source')):
        near = nearest_neighbours(searched[query], searched[gallery], min(args.neighbours, len(keys[gallery])))
        lists = [[(keys[gallery][i], value) for i, value in zip(row, values)]
                 for row, values in zip(near.index.tolist(), near.similarity.tolist())]
        chosen = sorted(make_generator(args.seed, 'queries', query).permutation(len(keys[query]))[:args.queries].tolist())
        grid = retrieval_grid([keys[query][i] for i in chosen], [lists[i] for i in chosen], picture(query), picture(gallery),
                              names=(query, gallery), width=args.width)
        write_bytes_atomic(args.out / f'{query}_to_{gallery}.png', encode_png(grid))
        record[f'{query}_to_{gallery}'] = dict(zip(keys[query], lists))
    k = min(10, len(keys['source']) + len(keys['target']) - 1)
    mixing = domain_mixing(found['source'], found['target'], k)
    record['mixing'] = dict(mixing._asdict(), k=k, relative=mixing.relative)
    write_json_atomic(args.out / 'retrieval.json', record)
    print(f'of the {k} nearest neighbours of a source image {mixing.first:.1%} are of the target (chance '
          f'{mixing.first_chance:.1%}), of a target image {mixing.second:.1%} of the source (chance {mixing.second_chance:.1%}); '
          f'domains mixed {mixing.relative:.2f} of chance')
    print(f'pictures: {args.out / "source_to_target.png"}, {args.out / "target_to_source.png"}')


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 refused or failed with a reason on stderr, 130 stopped."""
    args = parse_args(argv)
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args))


if __name__ == '__main__':
    sys.exit(main())
