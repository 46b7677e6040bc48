#!/bin/sh
# tests/bench/compare.sh [OPTION...]: libllmcall beside llama.cpp on this machine; writes RESULTS.md and results.svg here.
#   Builds what is missing (this library, llama.cpp, the model files: the first time about 20 minutes and 8 GB in the cache),
#   then measures, then writes. --help lists the options; --quick takes a minute or two and writes nothing.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/examples/setup.sh"
# shellcheck disable=SC2086
install_missing $build_packages python3 python3-venv python3-pip ca-certificates

# The same environment as tests/run.sh.
venv=$cache/venv-$(sha256sum "$root/tests/requirements.txt" | cut -c1-12)
if [ ! -f "$venv/ready" ]; then
    say "Making a Python environment for the tests"
    rm -rf "$venv"
    mkdir -p "$cache"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip --quiet install --only-binary :all: --requirement "$root/tests/requirements.txt" >&2
    touch "$venv/ready"
fi
case " $* " in
    *" --help "* | *" -h "* | *" --report "*) exec "$venv/bin/python" "$root/tests/bench/compare.py" "$@" ;;
esac

build=${LLMCALL_BUILD:-$root/build}
[ -n "${LLMCALL_BUILD:-}" ] || { say "Building libllmcall"; build_in "$build"; }
fetch_model >/dev/null
peer=$(sh "$root/tests/bench/build_peer.sh" "$venv/bin/python")
PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" "$root/tests/bench/compare.py" --build "$build" --peer "$peer" "$@"
