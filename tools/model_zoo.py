# SPDX-License-Identifier: Apache-2.0
"""Write the model zoo: ``python tools/model_zoo.py``, or see that nothing has drifted: ``python tools/model_zoo.py --check``.

Our figures are those of docs/records, published ones stand in configs/*/metafile.yml with their source. From both it writes
`Results` in the metafiles, docs/model_zoo.md, model-index.yml, and the figures in udatools/zoo/checkpoints.json.
"""
import argparse
import difflib
import sys
from itertools import islice
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))  # a checkout works without being installed

import udatools  # noqa: E402, F401 - checks the environment before anything of mmengine is imported


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 where something differs')
    parser.add_argument('--root', type=Path, default=REPO, help='the checkout (default: this one)')
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Writes or compares; returns the exit status."""
    from udatools.utils.atomic import write_text_atomic
    from udatools.zoo.checks import find_problems
    from udatools.zoo.pages import generated_files, read_zoo
    zoo = read_zoo(args.root)
    problems = list(find_problems(zoo))
    for path, text in generated_files(zoo).items():
        name = path.relative_to(args.root)
        old = path.read_text(encoding='utf-8') if path.is_file() else ''
        if text == old:
            continue
        if args.check:
            changes = difflib.unified_diff(old.splitlines(), text.splitlines(), 'as it is', 'as it should be', n=0, lineterm='')
            problems.append('\n    '.join([f'{name} is not what tools/model_zoo.py writes; run it', *islice(changes, 10)]))
        else:
            write_text_atomic(path, text)
            print(f'wrote {name}')
    for problem in problems:
        print(f'NOT RIGHT - {problem}', file=sys.stderr)
    return 1 if problems else 0


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 done or nothing has drifted, 1 otherwise."""
    args = parse_args(argv)
    from udatools.engine.command_line import run_tool
    return run_tool(lambda: run(args))


if __name__ == '__main__':
    sys.exit(main())
