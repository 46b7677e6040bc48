#!/bin/sh
# tests/bench/build_peer.sh PYTHON: builds llama.cpp's programs for comparison and prints the folder they lie in.
#   The sources are those inside the llama-cpp-python sdist that tests/conformance/packages.py pins by version and SHA-256.
#   Built for this machine's own instruction set, once, under the cache (about 8 minutes on 2 cores). LLMCALL_PEER=FOLDER:
#   these programs instead. PYTHON: the interpreter of the tests' environment (compare.sh makes it).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/examples/setup.sh"
case "${1:--h}" in
    -h | --help) sed -n '2,5s/^# //p' "$0"; exit 0 ;;
esac
python=$1
programs='llama-bench llama-batched-bench llama-completion llama-quantize llama-tokenize'

has_programs() {
    for program in $programs; do [ -x "$1/$program" ] || return 1; done
}

# The compiler that cmake will take is a gcc of a version before 13.
has_old_gcc() {
    version=$("${CXX:-c++}" --version 2>/dev/null | head -n 1)
    case "$version" in *clang*) return 1 ;; esac
    [ "$("${CXX:-c++}" -dumpversion 2>/dev/null | cut -d. -f1)" -lt 13 ] 2>/dev/null
}

if [ -n "${LLMCALL_PEER:-}" ]; then
    has_programs "$LLMCALL_PEER" || die "LLMCALL_PEER is $LLMCALL_PEER; it must hold $programs."
    cd "$LLMCALL_PEER" && pwd
    exit 0
fi

peer=$cache/peer
if ! has_programs "$peer/build/bin"; then
    install_missing cmake ninja-build g++
    rm -rf "$peer"
    mkdir -p "$peer/sdist" "$peer/source"
    trap 'rm -rf "$peer/sdist"' EXIT
    # gcc before 13 may drop the stores to the configuration that _tile_loadconfig reads, and the program then dies of SIGILL at
    # the first AMX product. Without two passes over the one file that has it they stay; every other file is compiled as ever.
    cat >"$peer/compile" <<'END'
#!/bin/sh
case "$*" in */ggml-cpu/amx/mmq.cpp*) exec "$@" -fno-tree-dse -fno-dse ;; esac
exec "$@"
END
    chmod +x "$peer/compile"
    launcher=
    if grep -qw amx_tile /proc/cpuinfo 2>/dev/null && has_old_gcc; then
        launcher="-DCMAKE_CXX_COMPILER_LAUNCHER=$peer/compile"
    fi
    say "Obtaining llama.cpp (the sources in llama-cpp-python)"
    PYTHONPATH="$root/tests/conformance" PYTHONDONTWRITEBYTECODE=1 "$python" - "$peer/sdist" >&2 <<'END' ||
import pathlib
import sys

import packages

packages._download(packages.LLAMA_PIN, pathlib.Path(sys.argv[1]), "--no-binary", ":all:", "--no-build-isolation")
END
        die "The sources could not be downloaded."
    tar -xzf "$peer"/sdist/*.tar.gz -C "$peer/source" --strip-components=1
    say "Building it (about 8 minutes on 2 cores; log: $peer/build.log)"
    {
        cmake -S "$peer/source/vendor/llama.cpp" -B "$peer/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
            -DLLAMA_CURL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_BUILD_TESTS=OFF ${launcher:+"$launcher"} &&
            # shellcheck disable=SC2086
            ninja -C "$peer/build" $programs
    } >"$peer/build.log" 2>&1 || { tail -n 30 "$peer/build.log" >&2; die "The build of llama.cpp failed."; }
    has_programs "$peer/build/bin" || die "The build of llama.cpp left no programs in $peer/build/bin."
fi
echo "$peer/build/bin"
