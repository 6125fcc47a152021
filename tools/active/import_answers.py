# SPDX-License-Identifier: Apache-2.0
"""Bring answers of people into the ledger of a run.

    python tools/active/import_answers.py work_dirs/RUN/requests/round_1            # what the annotator page stored
    python tools/active/import_answers.py work_dirs/RUN annotations.xml --who anna  # of the newest round
    python tools/active/import_answers.py work_dirs/RUN --close                     # go on with what is answered

Says what was taken and what was not, and why; the same goes to WORK_DIR/imports/NNN.json. Exit status: 0 stored, 2 refused.
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a clone works without being installed


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    import udatools  # noqa: F401 - checks the environment
    from udatools.active.codecs import CODECS
    from udatools.active.importing import format_import, import_answers
    from udatools.active.ledger import LedgerError
    from udatools.active.package_files import find_package
    from udatools.engine.runner.journal import WorkDirInUseError, WorkDirLock
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('request', help='folder of a request package, or the work directory (its newest round)')
    parser.add_argument('files', nargs='*', help='files or folders with answers (default: what the annotator page stored)')
    parser.add_argument('--format', choices=('auto', *CODECS), default='auto', help='default: by content')
    parser.add_argument('--who', metavar='NAME', help='who answered, for files that do not say it')
    parser.add_argument('--close', action='store_true', help='the round takes no more answers; the run goes on with these')
    parser.add_argument('--dry-run', action='store_true', help='say what would be taken, store nothing')
    args = parser.parse_args(argv)
    try:
        package = find_package(args.request)
        stored = package.request.root / 'answers.sqlite'
        files = args.files or ([stored] if stored.is_file() else [])
        if not files and not args.close:
            raise FileNotFoundError(f'no files were given, and {stored} does not exist: nobody answered on the page yet')
        with WorkDirLock(package.work_dir):
            report = import_answers(package, files, format=args.format, who=args.who, close=args.close, dry_run=args.dry_run)
    except (OSError, ValueError, LedgerError, WorkDirInUseError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(format_import(report))
    return report.exit_code


if __name__ == '__main__':
    sys.exit(main())
