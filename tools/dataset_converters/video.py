# SPDX-License-Identifier: Apache-2.0
"""Unpack video files into frames: ``python tools/dataset_converters/video.py drive.mp4 --out data/yard/train``.

Each video gets a folder of its own under --out, OUT/drive/000000.png and on, which VideoFramesDomain reads as a clip. A video
with hard cuts is several clips: --cuts names the first frames of all shots but the first (OUT/drive/shot_000120/...). Names
keep the number of the frame in the video, so with --every 3 they are 3 apart, and so are neighbours in time. A killed run
goes on with the same command. The exit status is 1 if a video is damaged or ends too early; what can be read is kept.
"""
import argparse
import os
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a checkout works without being installed

from udatools.datasets.preparation.cli import parse_size  # noqa: E402
from udatools.datasets.preparation.prepare import map_pairs  # noqa: E402
from udatools.datasets.preparation.video import ABOUT, FORMATS, VideoRecord, VideoSettings, check_video, unpack_video  # noqa: E402
from udatools.utils.progress import Progress  # noqa: E402


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('videos', type=Path, nargs='+', metavar='VIDEO', help='video files; names must differ')
    parser.add_argument('--out', type=Path, help='folder to write to, a folder a video; needed unless --check')
    parser.add_argument('--every', type=int, default=1, metavar='N', help='keep every N-th frame (default: 1, all)')
    parser.add_argument('--size', type=parse_size, metavar='WIDTHxHEIGHT', help='resize (default: as it is)')
    parser.add_argument('--format', choices=sorted(FORMATS), default='png',
                        help='of the frames; jpg has quality 95 (default: png)')
    parser.add_argument('--cuts', type=int, nargs='+', default=[], metavar='FRAME',
                        help='frames at which another shot begins; of one video')
    parser.add_argument('--check', action='store_true', help='only decode: write nothing, exit with 1 if a video is damaged')
    parser.add_argument('--nproc', type=int, default=min(4, os.cpu_count() or 1), metavar='N',
                        help='processes, a video each; the result is the same for any number (default: %(default)s)')
    return parser


def process(path: Path, *, settings: VideoSettings, out: Path | None, alone: bool) -> VideoRecord:
    """Unpacks a video, or checks it where there is no folder to write to; errors become problems of the record."""
    with Progress(path.name, None, 'frames', shown=alone) as progress:
        try:
            if out is None:
                return check_video(path, settings, progress.update)
            return unpack_video(path, out / path.stem, settings, progress.update)
        except (OSError, ValueError, RuntimeError) as error:
            return VideoRecord(str(path), problems=[str(error)])


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.out is None and not args.check:
        parser.error('give a folder with --out, or --check to only look')
    if args.nproc < 1:
        parser.error(f'--nproc {args.nproc}: expected at least 1')
    if args.cuts and len(args.videos) > 1:
        parser.error(f'--cuts are frames of one video, {len(args.videos)} are given; unpack them one by one')
    stems = [path.stem for path in args.videos]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
        parser.error(f'several videos are called {", ".join(twice)}, and would share a folder; rename them')
    try:
        settings = VideoSettings(args.every, args.size, args.format, tuple(args.cuts))
    except ValueError as error:
        parser.error(str(error))
    out = None if args.check else args.out
    bad = 0
    try:
        work = partial(process, settings=settings, out=out, alone=len(args.videos) == 1)
        for record in map_pairs(work, args.videos, args.nproc):
            bad += bool(record.problems)
            size = f'{record.size[0]}x{record.size[1]}' if record.size else 'no size'
            print(f'{record.path}: {size}, {record.fps:g} frames a second, {record.decoded} frames, {record.kept} kept')
            for problem in record.problems:
                print(f'  bad: {problem}')
            if out is not None and record.kept:
                print(f'  wrote {out / Path(record.path).stem}, see {ABOUT} there')
    except KeyboardInterrupt:
        print('\nstopped' if args.check else '\nstopped; the same command goes on from here', file=sys.stderr)
        return 130
    except RuntimeError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return int(bad > 0)


if __name__ == '__main__':
    sys.exit(main())
