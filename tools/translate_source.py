# SPDX-License-Identifier: Apache-2.0
"""Translate or stylise the source images of a config ahead of training: ``python tools/translate_source.py CONFIG``.

Writes OUT/<key>.png for every source image of the config, at its size; a data set reads them with image_dir=OUT. Nothing is
downloaded: FourierTransfer gives each image the low-frequency amplitudes of a target image, RandomConvolution a random texture.
What becomes of an image depends on --seed and its key alone. Ctrl-C at any time; the same command goes on, and files that are
there and whole stay as they are. Several processes share the work:

    torchrun --nproc_per_node 4 tools/translate_source.py CONFIG --launcher pytorch

--check compares translations, whoever made them, with the originals: sizes, and how well phases are kept.
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
    parser.add_argument('config', help='a training config with both domains')
    parser.add_argument('--transform', default='FourierTransfer', help='FourierTransfer (default), RandomConvolution, or any '
                        'other domain transform')
    parser.add_argument('--transform-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE',
                        help='its arguments, such as beta=0.05')
    parser.add_argument('--out', type=Path, help='folder (default: where the config reads translations)')
    parser.add_argument('--seed', type=int, default=0, help='of target images and textures (default: 0)')
    parser.add_argument('--check', action='store_true', help='translate nothing: compare with the originals, and exit with 1 if '
                        'files are missing, damaged or of another size')
    parser.add_argument('--sample', type=int, metavar='N', help='look at N images, evenly spread, for --check')
    add_config_options(parser)
    return parse_with_launcher(parser, argv)


def run(args: argparse.Namespace) -> int:
    """Translates, or checks; returns the exit status."""
    from mmengine.dist import is_main_process
    from mmengine.registry import init_default_scope

    from udatools.engine import translation
    from udatools.engine.cli import build_config
    from udatools.engine.resumable import claim_folder, sole_writer
    from udatools.engine.runner.distributed import init_distributed, on_main
    from udatools.registry import DOMAIN_TRANSFORMS
    init_default_scope('mmseg')
    cfg = build_config(args.config, options=args.cfg_options, launcher=args.launcher)
    source, target, folders = translation.datasets_of_config(cfg)
    init_distributed(cfg)
    if args.out is None and len(folders) != 1:
        raise ValueError(f'the config reads translations from {", ".join(folders) or "nowhere"}; give --out, the folder of one')
    out = args.out or Path(folders[0])
    say = print if is_main_process() else lambda *_: None
    if args.check:
        report = on_main(partial(translation.check_translation, source, str(out), sample=args.sample))
        if report['phase_consistency'] is not None:
            say(f'{report["images"]} images of {out}: phase consistency {report["phase_consistency"]:.3f} (1: phases as in the '
                f'originals), pixels changed by {report["change"]:.1f} of 255 on average')
        if problems := report['problems']:
            say(f'{len(problems)} unusable; the first {min(SHOWN, len(problems))}:')
            say('\n'.join(problems[:SHOWN]))
        return int(bool(report['problems']))
    images = source.image_root().resolve()
    if images == out.resolve() or images in out.resolve().parents or out.resolve() in images.parents:
        raise ValueError(f'{out} and the folder of the originals {images} overlap; choose another --out')
    settings = dict(type=args.transform, **args.transform_options)
    transform = DOMAIN_TRANSFORMS.build(dict(settings))
    with sole_writer(out, translation.LEFTOVERS):
        on_main(partial(claim_folder, out, dict(transform=settings, seed=args.seed, target=target.fingerprint()),
                        name=translation.SETTINGS, content='translations that were'))
        plan = translation.plan_translation(source, target, args.seed)
        done = translation.translate_source(plan, transform, out, seed=args.seed)
    say(f'{len(source)} images in {out}: {done.translated} translated, {done.reused} were there')
    return 0


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 refused, failed or found bad with a reason, 130 stopped."""
    args = parse_args(argv)
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args), stopped='stopped; the same command goes on from here')


if __name__ == '__main__':
    from udatools.engine.runner.distributed import exit_process
    exit_process(main())
