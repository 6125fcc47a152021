# SPDX-License-Identifier: Apache-2.0
"""Runs configs over seeds and writes one table and one chart.

    python tools/benchmark/compare_methods.py \\
        configs/{source_only/source_only,adaptsegnet/adaptsegnet,labor/spl,supervised/supervised}_minidrive.py \\
        --chart work_dirs/compare/minidrive.png --per-class

Finished runs are kept and unfinished ones go on, so the command can be repeated. All configs of a seed come before the next
seed; ROOT/comparison.md holds the table of what is finished so far. The last stage of a run counts; nothing is chosen by
looking at target labels unless --select names a criterion that does. Times and memory are ratios to source-only of this very
command: training with its labelling passes, without evaluation; on a CPU the time that its processors spent, so that
trainings beside it do not count.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))
_THREADS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', help='config files')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--root', type=Path, default=Path('work_dirs/compare'), help='runs go to ROOT/<config>/seed_<n>')
    parser.add_argument('--records', type=Path, metavar='DIR',
                        help='also keeps finished runs as DIR/<config>/seed_<n>.json; while its config stays, none is repeated')
    parser.add_argument('--stage-store', type=Path, metavar='DIR',
                        help='stages that several runs begin with are trained once and kept here; tables and times stay the same')
    parser.add_argument('--jobs', type=int, default=1, help='trainings at the same time; each gets its share of the CPU threads')
    parser.add_argument('--table-only', action='store_true', help='train nothing; read what is there')
    parser.add_argument('--baseline', default='source_only', help='gain, time and memory refer to the run of this beginning')
    parser.add_argument('--reference', default='supervised', help='mIoU is also given in percent of the run of this beginning')
    parser.add_argument('--all-stages', action='store_true', help='a row for each evaluated stage, not for the last alone')
    parser.add_argument('--per-class', action='store_true', help='a second table: IoU by class')
    parser.add_argument('--absolute', action='store_true', help='seconds and bytes of this machine instead of ratios')
    parser.add_argument('--chart', type=Path, metavar='FILE', help='bars of mIoU as .png, .svg or .pdf')
    parser.add_argument('--title', default='', help='of the chart')
    parser.add_argument('--update', type=Path, nargs='+', default=[], metavar='FILE',
                        help='also put the table between the results markers of these files')
    parser.add_argument('--update-compact', type=Path, nargs='+', default=[], metavar='FILE', help='the same without the seeds')
    parser.add_argument('--marker', default='minidrive', help='name of those markers; NAME_classes takes the table by class')
    parser.add_argument('--select', metavar='CRITERION', help='handed to every training: how its checkpoint is chosen')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='handed to every training')
    args = parser.parse_args(argv)
    names = [Path(config).stem for config in args.configs]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        parser.error(f'two configs are called {", ".join(doubled)}; their runs would share a folder')
    if args.jobs < 1:
        parser.error(f'--jobs {args.jobs}: expected 1 or more')
    return args


def environment(jobs: int) -> dict[str, str]:
    """Environment of one of ``jobs`` trainings: its share of the cores, unless the caller has said how many threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    share = str(max(1, cores // jobs))
    return {**dict.fromkeys(_THREADS, share), **os.environ}


def command_of(config: str, seed: int, work_dir: Path, args: argparse.Namespace) -> list[str]:
    """The training of one config and seed."""
    command = [sys.executable, str(REPO / 'tools' / 'train.py'), config]
    command += ['--work-dir', str(work_dir), '--seed', str(seed), '--resume']
    if args.select:
        command += ['--select', args.select]
    if args.stage_store:
        command += ['--stage-store', str(args.stage_store)]
    if args.cfg_options:
        command += ['--cfg-options', *args.cfg_options]
    return command


def train_all(args: argparse.Namespace) -> list[str]:
    """Trains what is missing, each run in a process of its own; a run that fails does not stop the others.

    Returns:
        list[str]: what failed.
    """
    failed: list[str] = []
    lock, interrupted = threading.Lock(), threading.Event()

    def train(config: str, seed: int) -> None:
        if interrupted.is_set() or recorded(config, seed, args) is not None:
            return
        work_dir = args.root / Path(config).stem / f'seed_{seed}'
        command, log = command_of(config, seed, work_dir, args), work_dir.with_suffix('.log')
        work_dir.parent.mkdir(parents=True, exist_ok=True)
        print('+', ' '.join(command[1:]), '' if args.jobs == 1 else f'> {log}', flush=True)
        if args.jobs == 1:
            status = subprocess.run(command, env=environment(1)).returncode
        else:
            with open(log, 'ab') as output:
                status = subprocess.run(command, env=environment(args.jobs), stdout=output, stderr=subprocess.STDOUT).returncode
        if status in (-signal.SIGINT, 128 + signal.SIGINT):  # Ctrl-C reaches the trainings first
            interrupted.set()
            return
        with lock:
            if status:
                failed.append(f'{Path(config).stem} with seed {seed}' + ('' if args.jobs == 1 else f' (see {log})'))
                print(f'FAILED with status {status}: {failed[-1]}; the others go on', file=sys.stderr, flush=True)
            else:
                keep_record(config, seed, args)
                write_so_far(args)

    with ThreadPoolExecutor(args.jobs) as pool:
        futures = [pool.submit(train, config, seed) for seed in args.seeds for config in args.configs]
        try:
            for future in futures:
                future.result()
        except KeyboardInterrupt:
            interrupted.set()  # those that run end first
    if interrupted.is_set():
        raise SystemExit('interrupted; repeat this command to go on')
    return failed


def digest_of(config: str, seed: int, args: argparse.Namespace) -> str:
    """Digest of the config as the training sees it."""
    from mmengine.config import DictAction

    from udatools.engine.cli import build_config
    from udatools.evaluation.records import run_digest
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    options = parser.parse_args(['--cfg-options', *args.cfg_options] if args.cfg_options else []).cfg_options
    return run_digest(build_config(config, seed=seed, select=args.select, options=options))


def finished(config: str, seed: int, args: argparse.Namespace) -> dict | None:
    """``results.json`` of a finished run below ROOT."""
    path = args.root / Path(config).stem / f'seed_{seed}' / 'results.json'
    content = json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}
    return content if content.get('final') and content['stages'] else None


def record_path(config: str, seed: int, args: argparse.Namespace) -> Path | None:
    """Where a run is kept, if runs are."""
    return args.records / Path(config).stem / f'seed_{seed}.json' if args.records else None


def recorded(config: str, seed: int, args: argparse.Namespace) -> dict | None:
    """The kept results of a run with this config."""
    from udatools.evaluation.records import read_record
    path = record_path(config, seed, args)
    return read_record(path, digest_of(config, seed, args)) if path and path.exists() else None


def keep_record(config: str, seed: int, args: argparse.Namespace) -> None:
    """Keeps a finished run."""
    from udatools.evaluation.records import write_record
    path = record_path(config, seed, args)
    if path and (results := finished(config, seed, args)):
        git = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=REPO, capture_output=True, text=True)
        write_record(path, results, digest_of(config, seed, args), git.stdout.strip())


def load_runs(args: argparse.Namespace) -> dict[str, list[dict]]:
    """Results of the finished runs by config name, in the order of the configs: of this machine, or else recorded."""
    runs: dict[str, list[dict]] = {}
    for config in args.configs:
        for seed in args.seeds:
            if results := finished(config, seed, args) or recorded(config, seed, args):
                runs.setdefault(Path(config).stem, []).append(results)
    return runs


def tables(args: argparse.Namespace, runs: dict[str, list[dict]]) -> tuple[str, str, str]:
    """The table, its compact form, and the one by class."""
    from udatools.evaluation.comparison import comparison_rows, format_classes, format_markdown
    rows = comparison_rows(runs, args.reference, baseline=args.baseline, all_stages=args.all_stages)
    options = dict(stages=args.all_stages, absolute=args.absolute)
    return (format_markdown(rows, **options), format_markdown(rows, compact=True, **options),
            format_classes(rows, stages=args.all_stages))


def write_so_far(args: argparse.Namespace) -> None:
    """``ROOT/comparison.md``: the tables of what is finished."""
    from udatools.utils.atomic import write_text_atomic
    if runs := load_runs(args):
        full, _, classes = tables(args, runs)
        write_text_atomic(args.root / 'comparison.md', f'{full}\n\n{classes}\n')


def main(argv: list[str] | None = None) -> int:
    """Trains what is missing, then prints (and stores) the tables and the chart; 1 when a training failed."""
    from udatools.evaluation.comparison import comparison_rows, update_between_markers
    from udatools.visualization.comparison_chart import write_comparison_chart
    args = parse_args(argv)
    failed = [] if args.table_only else train_all(args)
    runs = load_runs(args)
    if not runs:
        raise SystemExit(f'no finished run below {args.root}' + ('; leave out --table-only to train' if args.table_only else ''))
    full, compact, classes = tables(args, runs)
    print(full)
    if args.per_class:
        print(f'\n{classes}')
    expected = len(args.configs) * len(args.seeds)
    if (found := sum(map(len, runs.values()))) < expected:
        print(f'{expected - found} of {expected} runs are not finished and not in the table', file=sys.stderr)
    for path, table in [*((path, full) for path in args.update), *((path, compact) for path in args.update_compact)]:
        update_between_markers(path, args.marker, table)
        if args.per_class and f'<!-- results:{args.marker}_classes -->' in path.read_text(encoding='utf-8'):
            update_between_markers(path, f'{args.marker}_classes', classes)
    if args.chart:
        rows = comparison_rows(runs, args.reference, baseline=args.baseline, all_stages=args.all_stages)
        write_comparison_chart(rows, args.chart, baseline=args.baseline, reference=args.reference, title=args.title)
        print(f'Chart: {args.chart}')
    if failed:
        print(f'{len(failed)} trainings failed: {", ".join(failed)}; mend them and repeat this command, finished runs are kept',
              file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
