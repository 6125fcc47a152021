# SPDX-License-Identifier: Apache-2.0
"""Serves the page on which people answer a request package.

    python tools/annotate.py work_dirs/RUN/requests/round_1
    python tools/annotate.py work_dirs/RUN/requests/round_1 --images data/street/leftImg8bit/train --who anna

Every answer is in REQUEST_DIR/answers.sqlite the moment it is given. Stop with Ctrl-C and start again at any time; then
import (tools/active/import_answers.py) and continue the run (--resume). docs/annotator.md describes the page.
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('request_dir', help='folder with request.json')
    parser.add_argument('--images', metavar='ROOT', help='folder that the image paths of the request are relative to, or the '
                        'config.py of the run (default: REQUEST_DIR/images, else the run that the package lies in)')
    parser.add_argument('--who', metavar='NAME', help='the only person who answers here (default: the page asks for a name)')
    parser.add_argument('--host', default='127.0.0.1', help='address to serve on (default: this machine only)')
    parser.add_argument('--port', type=int, default=8321, help='0 takes any free one (default: 8321)')
    parser.add_argument('--token', help='secret that callers must know; needed with any --host that others can reach')
    parser.add_argument('--order', choices=('raster', 'largest', 'shuffled'), default='raster',
                        help='raster: as in the package, from top to bottom; largest: large regions of an image first; '
                        'shuffled: images in a mixed order (default: raster)')
    parser.add_argument('--lease', type=float, default=10.0, metavar='MINUTES',
                        help='a task goes to somebody else after this time without a sign of life (default: 10)')
    parser.add_argument('--show-predictions', action='store_true',
                        help='let people look at what the model predicts; it pulls them towards it')
    parser.add_argument('--blind', action='store_true',
                        help='everybody answers everything and sees nobody else\'s answers: measures disagreement')
    parser.add_argument('--budget', type=float, metavar='AMOUNT',
                        help='for a budget in clicks or seconds: nothing more is handed out once the answers to this request '
                        'have taken so many (default: what the request was planned to cost)')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status."""
    args = parse_args(argv)
    from udatools.active.annotator import Options, Server, StoreError
    if not 0 <= args.port < 65536:
        print(f'error: --port is {args.port}; expected 0 to 65535', file=sys.stderr)
        return 2
    try:
        server = Server(args.request_dir, images=args.images, host=args.host, port=args.port, token=args.token,
                        options=Options(args.who, args.show_predictions), order=args.order, lease_seconds=60 * args.lease,
                        blind=args.blind, budget=args.budget)
    except (ValueError, OSError, StoreError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    missing = server.board.images.missing()
    if missing:
        print(f'warning: {len(missing)} asked images are missing, {missing[0]} first; they cannot be answered')
    allowance = server.board.allowance
    if args.blind and allowance is not None:
        scope = 'each image' if allowance.per_image else 'the campaign'
        print(f'warning: the budget is in {allowance.unit}, and with --blind those of everybody count. Nothing more is handed '
              f'out once the answers have taken {allowance.limit:g} {allowance.unit} together; what the request was planned to '
              f'cost is for one person (--budget AMOUNT changes it). Where the budget of {scope} ends, the import leaves out '
              'the answers that do not fit, whole images at a time')
    progress = server.board.progress(args.who or '')
    print(f'{progress["images"]["asked"]} images, {progress["regions"]["asked"]} '
          f'{"points" if server.board.request.kind == "points" else "regions"} asked, {progress["regions"]["done"]} answered. '
          f'Open {server.url} (Ctrl-C stops)', flush=True)
    server.run()
    print(f'stopped; everything answered so far is in {server.store.path}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
