#!/usr/bin/env bash
# Shared by the scripts in tools/: sourced, never run. Makes the virtual environment and says which python to use.
#
#   udatools_env runtime|test   make or update the environment; afterwards $UDATOOLS_PYTHON is its interpreter
#   udatools_chromium           on a CI machine: install the browser of the annotator's test, if that is easy
#   udatools_python             print the interpreter for a script that must not install anything
#
# Environment: PYTHON (interpreter to make the environment with, default python3), UDATOOLS_VENV (default <repo>/.venv).

set -o pipefail
UDATOOLS_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
UDATOOLS_VENV="${UDATOOLS_VENV:-$UDATOOLS_ROOT/.venv}"

udatools_say() { printf '[udatools] %s\n' "$*"; }
udatools_die() { printf '[udatools] error: %s\n' "$*" >&2; exit 1; }

udatools_python() {
    if [ -n "${PYTHON:-}" ]; then
        printf '%s\n' "$PYTHON"
    elif [ -x "$UDATOOLS_VENV/bin/python" ]; then
        printf '%s\n' "$UDATOOLS_VENV/bin/python"
    else
        printf 'python3\n'
    fi
}

# Runs pip; prints the name of each package as it is collected, and the end of its log when it fails.
_udatools_pip() {
    local log="$UDATOOLS_VENV/install.log"
    if ! "$UDATOOLS_VENV/bin/python" -m pip install --disable-pip-version-check --progress-bar off "$@" 2>&1 |
        tee "$log" |
        sed -n -u -e 's/^Collecting \([^ ]*\).*/[udatools]   \1/p' \
            -e 's/^Installing collected packages.*/[udatools]   unpacking/p'; then
        tail -n 20 "$log" >&2
        udatools_die "pip could not install the dependencies; the whole log is in $log. Check the network and run the" \
            "same command again, it continues where it stopped."
    fi
}

udatools_env() {
    local level="${1:-runtime}" base="${PYTHON:-python3}" venv="$UDATOOLS_VENV" stamp wanted files
    case "$level" in
    runtime) files='runtime.txt' ;;
    test) files='runtime.txt docs.txt test.txt' ;;
    *) udatools_die "udatools_env got '$level', expected runtime or test" ;;
    esac

    if ! { [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; }; then
        command -v "$base" >/dev/null 2>&1 ||
            udatools_die "no '$base' on this machine; install Python 3.10 or newer, or name one: PYTHON=/path/to/python3"
        "$base" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
            udatools_die "$("$base" --version 2>&1) is too old, udatools needs 3.10 or newer; name another one:" \
                "PYTHON=python3.11 bash $0"
        udatools_say "making the virtual environment $venv with $("$base" --version 2>&1)"
        "$base" -m venv --clear "$venv" ||
            udatools_die "'$base -m venv' failed; on Debian and Ubuntu install the package python3-venv and run again"
    fi
    UDATOOLS_PYTHON="$venv/bin/python"
    export UDATOOLS_PYTHON

    # The stamp names what is installed: the pinned files and the interpreter. Same stamp, nothing to do.
    wanted="$(cd "$UDATOOLS_ROOT" && "$UDATOOLS_PYTHON" - "$UDATOOLS_ROOT" $files <<'PY'
import hashlib, pathlib, sys
digest = hashlib.sha256(sys.version.encode() + sys.argv[1].encode())
for name in sys.argv[2:]:
    digest.update(pathlib.Path('requirements', name).read_bytes())
digest.update(pathlib.Path('setup.py').read_bytes())
print(digest.hexdigest())
PY
)"
    stamp="$venv/udatools_$level.stamp"
    if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
        udatools_say "installing the pinned dependencies ($level) into $venv; the first time takes some minutes"
        _udatools_pip -r "$UDATOOLS_ROOT/requirements/$level.txt"
        _udatools_pip --no-deps --no-build-isolation -e "$UDATOOLS_ROOT"
        printf '%s\n' "$wanted" >"$stamp"
    fi
    udatools_say "environment ready: $venv"
}

# The test of the annotator page needs a browser. A CI machine without one gets Debian's, quietly; where that fails the test
# is skipped and says so. Nobody else's machine is touched.
udatools_chromium() {
    local name
    [ "${CI:-}" = true ] && [ -z "${UDATOOLS_CHROMIUM:-}" ] || return 0
    for name in chromium chromium-browser google-chrome; do
        ! command -v "$name" >/dev/null 2>&1 || return 0
    done
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 0
    udatools_say 'installing chromium for the test of the annotator page'
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
        </dev/null >/dev/null 2>&1 || udatools_say 'chromium could not be installed; the test of the page will be skipped'
}
