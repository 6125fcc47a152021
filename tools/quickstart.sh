#!/usr/bin/env bash
# From a fresh clone to a result: environment, embedded data, two baselines, LabOR-SPL, a table and a report. CPU is enough.
# Run it again at any time: what is done is not done twice, an interrupted training continues.
# Arguments go to tools/train.py, for example: bash tools/quickstart.sh --seed 1 --work-dir work_dirs/seed1
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
cd "$UDATOOLS_ROOT"
export PYTHONUNBUFFERED=1

udatools_env runtime
udatools_say 'generating the embedded data (MiniDrive) in data/minidrive'
"$UDATOOLS_PYTHON" tools/dataset_converters/make_minidrive.py --root data/minidrive
for baseline in source_only supervised; do
    udatools_say "baseline for the report: $baseline"
    "$UDATOOLS_PYTHON" tools/train.py "configs/$baseline/${baseline}_minidrive.py" --resume
done
udatools_say 'training: adversarial warm-up, then three rounds of asking for labels'
"$UDATOOLS_PYTHON" tools/train.py configs/labor/spl_minidrive.py --resume "$@"

work_dir=work_dirs/spl_minidrive
previous=''
for argument in "$@"; do
    case "$argument" in
    --work-dir=*) work_dir="${argument#--work-dir=}" ;;
    *) [ "$previous" != '--work-dir' ] || work_dir="$argument" ;;
    esac
    previous="$argument"
done
case "$work_dir" in /*) ;; *) work_dir="$UDATOOLS_ROOT/$work_dir" ;; esac
[ ! -f "$work_dir/report/index.html" ] || udatools_say "report: $work_dir/report/index.html"
