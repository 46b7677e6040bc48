#!/bin/sh
# tests/run.sh [quick|all]: installs what is missing, builds, runs the tests, ends with "N passed, M failed".
#   quick  the release build and its tests, without those marked slow (under 3 minutes)
#   all    also the slow ones, and everything again under ASan + UBSan + LSan and the engine under TSan (under 25 minutes)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/examples/setup.sh"
what=${1:-all}
case "$what" in
    quick | all) ;;
    -h | --help) sed -n '2,4s/^# //p' "$0"; exit 0 ;;
    *) die "Unknown \"$what\"; give quick or all." ;;
esac
cd "$root"

# shellcheck disable=SC2086
install_missing $build_packages g++ libcmocka-dev libpcre2-dev libopenblas-dev python3 python3-venv python3-pip ca-certificates
venv=$cache/venv-$(sha256sum tests/requirements.txt | cut -c1-12)
if [ ! -f "$venv/ready" ]; then
    say "Making a Python environment for the tests"
    rm -rf "$venv"
    mkdir -p "$cache"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip --quiet install --only-binary :all: --requirement tests/requirements.txt >&2
    touch "$venv/ready"
fi

passed=0 failed=0
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# add_counts FILE: a file with "PASSED FAILED".
add_counts() {
    read -r p f <"$1"
    passed=$((passed + p)) failed=$((failed + f))
    say "  $p passed, $f failed"
}

# meson_tests FOLDER NAME [ARGUMENT...]: the C tests of a build.
meson_tests() {
    folder=$1 name=$2
    shift 2
    say "Running $name"
    status=0
    meson test -C "$folder" --no-rebuild --print-errorlogs "$@" >"$results/log" 2>&1 || status=$?
    [ $status = 0 ] || cat "$results/log"
    "$venv/bin/python" tests/count.py meson "$folder/meson-logs/testlog.json" $status >"$results/counts"
    add_counts "$results/counts"
}

# python_tests NAME [ARGUMENT...]: the conformance tests against build/libllmcall.so.
python_tests() {
    name=$1
    shift
    say "Running $name"
    status=0
    LLMCALL_LIBRARY="$root/build/libllmcall.so" PYTHONPATH="$root/bindings/python" PYTHONDONTWRITEBYTECODE=1 \
        "$venv/bin/python" -m pytest -q -p no:cacheprovider -n 2 --junitxml="$results/junit.xml" "$@" tests/conformance >"$results/log" 2>&1 || status=$?
    if [ $status = 0 ]; then tail -n 3 "$results/log" >&2; else cat "$results/log"; fi
    "$venv/bin/python" tests/count.py junit "$results/junit.xml" $status >"$results/counts"
    add_counts "$results/counts"
}

say "Building (release)"
if [ -f build/build.ninja ]; then meson configure build -Dtests=true -Dstrict=true >/dev/null; fi
build_in build -Dstrict=true
meson_tests build "unit and kernel tests"
fetch_model >/dev/null
if [ "$what" = quick ]; then
    python_tests "conformance tests, quick ones" -m "not slow"
else
    python_tests "conformance tests"
    say "Building with ASan, UBSan and LSan"
    build_in build/asan --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false -Dexamples=false
    export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    meson_tests build/asan "unit and kernel tests under ASan, UBSan, LSan" --timeout-multiplier 10
    say "Building with TSan"
    build_in build/tsan --buildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false -Dexamples=false
    export TSAN_OPTIONS=halt_on_error=1
    meson_tests build/tsan "threads under TSan" --suite threads --timeout-multiplier 10
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
