# SPDX-License-Identifier: Apache-2.0
"""Write a request as an annotation tool opens it: ``export.py work_dirs/RUN/requests/round_1 --format cvat --out FOLDER``."""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a clone works without being installed


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    import udatools  # noqa: F401 - checks the environment
    from udatools.active.codecs import CODECS
    from udatools.active.exporting import export_request
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('request', help='folder of a request package, or a work directory (its newest round)')
    parser.add_argument('--format', choices=tuple(CODECS), required=True, help='what the tool reads')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder for the files; made if missing')
    parser.add_argument('--images', metavar='ROOT', help='folder that the image paths of the request are relative to, or the '
                        'config.py of the run (default: REQUEST_DIR/images, else the run that the package lies in)')
    args = parser.parse_args(argv)
    try:
        files, missing = export_request(args.request, args.format, args.out, images=args.images)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    if missing:
        print(f'warning: {len(missing)} images were not found, such as {missing[0]}; the files refer to them by name only',
              file=sys.stderr)
    print(f'{len(files)} files in {args.out}; open {files[0]}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
