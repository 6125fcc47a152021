# SPDX-License-Identifier: Apache-2.0
"""Runs configs over seeds and prints one table.

    python tools/benchmark/compare_methods.py \\
        configs/{source_only/source_only,adaptsegnet/adaptsegnet,labor/spl,supervised/supervised}_minidrive.py

Finished runs are kept and unfinished ones go on, so the command can be repeated. The last checkpoint of a run counts;
nothing is chosen by looking at target labels.
"""
import argparse
import json
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', help='config files')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--root', default='work_dirs/compare', help='runs go to ROOT/<config>/seed_<n>')
    parser.add_argument('--reference', default='supervised', help='rows are also given relative to the run that starts with this')
    parser.add_argument('--table-only', action='store_true', help='train nothing; read what is there')
    parser.add_argument('--update', metavar='FILE', help='also put the table into FILE between its results markers')
    parser.add_argument('--marker', default='minidrive', help='name of those markers')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='handed to every training')
    return parser.parse_args()


def train(config: str, seed: int, work_dir: Path, options: list[str]) -> None:
    """One training in a process of its own.

    Raises:
        SystemExit: when it fails; what is finished stays.
    """
    command = [sys.executable, str(REPO / 'tools' / 'train.py'), config]
    command += ['--work-dir', str(work_dir), '--seed', str(seed), '--resume']
    if options:
        command += ['--cfg-options', *options]
    print('+', ' '.join(command[1:]), flush=True)
    if subprocess.run(command).returncode:
        raise SystemExit(f'{config} with seed {seed} failed; mend it and repeat this command, finished runs are kept')


def main() -> None:
    """Trains what is missing, then prints (and stores) the table."""
    from udatools.evaluation.comparison import comparison_rows, format_markdown, update_between_markers
    args = parse_args()
    runs: dict[str, list[dict]] = {}
    for seed in args.seeds:
        for config in args.configs:
            name = Path(config).stem
            work_dir = Path(args.root) / name / f'seed_{seed}'
            if not args.table_only:
                train(config, seed, work_dir, args.cfg_options)
            if (work_dir / 'results.json').exists():
                runs.setdefault(name, []).append(json.loads((work_dir / 'results.json').read_text(encoding='utf-8')))
    if not runs:
        raise SystemExit(f'no results below {args.root}; leave out --table-only to train')
    table = format_markdown(comparison_rows(runs, args.reference))
    print(table)
    if args.update:
        update_between_markers(Path(args.update), args.marker, table)


if __name__ == '__main__':
    main()
