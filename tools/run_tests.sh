#!/usr/bin/env bash
# The whole suite in the environment of tools/quickstart.sh: ruff, mypy, then pytest. Arguments go to pytest, for example:
#   bash tools/run_tests.sh -m 'not slow' -k ledger
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
cd "$UDATOOLS_ROOT"

udatools_env test
udatools_chromium
udatools_say 'ruff'
"$UDATOOLS_PYTHON" -m ruff check .
udatools_say 'mypy'
"$UDATOOLS_PYTHON" -m mypy
udatools_say 'pytest'
# A file stays with one process, so what its tests share is made once; -n 0 runs everything in this one.
exec "$UDATOOLS_PYTHON" -m pytest -n logical --maxprocesses 8 --dist loadfile "$@"
