#!/usr/bin/env bash
# Training on several GPUs: bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# Several machines: the same command on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
[ $# -ge 2 ] || udatools_die "got $# argument(s), expected: bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]"
config="$1" gpus="$2"
shift 2

export PYTHONPATH="$UDATOOLS_ROOT${PYTHONPATH:+:$PYTHONPATH}"
exec "$(udatools_python)" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$gpus" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$UDATOOLS_ROOT/tools/train.py" "$config" --launcher pytorch "$@"
