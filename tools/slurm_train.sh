#!/usr/bin/env bash
# Training under Slurm: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of tools/train.py]
# Environment: GPUS (all, default 4), GPUS_PER_NODE (default: GPUS up to 8), CPUS_PER_TASK (default 5), SRUN_ARGS.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
[ $# -ge 3 ] ||
    udatools_die "got $# argument(s), expected: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of tools/train.py]"
command -v srun >/dev/null 2>&1 || udatools_die "no srun on this machine; without Slurm use tools/dist_train.sh"
partition="$1" job="$2" config="$3"
shift 3
gpus="${GPUS:-4}"
per_node="${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}"

export PYTHONPATH="$UDATOOLS_ROOT${PYTHONPATH:+:$PYTHONPATH}"
# SRUN_ARGS is a list of words.
# shellcheck disable=SC2086
exec srun -p "$partition" --job-name="$job" --gres="gpu:$per_node" --ntasks="$gpus" --ntasks-per-node="$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "$(udatools_python)" -u "$UDATOOLS_ROOT/tools/train.py" "$config" --launcher slurm "$@"
