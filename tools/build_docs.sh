#!/usr/bin/env bash
# The documentation site: bash tools/build_docs.sh [FOLDER]
# Writes FOLDER/html (default: docs/_build/html) from docs/, the READMEs and the docstrings; any warning is an error.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
cd "$UDATOOLS_ROOT"
out="${1:-docs/_build}"
python="$(udatools_python)"

"$python" -c 'import furo, myst_parser, sphinx' 2>/dev/null ||
    udatools_die "$python has no Sphinx with MyST and furo; install them: $python -m pip install -r requirements/docs.txt"
"$python" -m sphinx -b html -c docs -d "$out/doctrees" -W --keep-going -n -q . "$out/html"
udatools_say "site: $out/html/index.html"
