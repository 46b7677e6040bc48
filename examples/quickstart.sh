#!/bin/sh
# quickstart.sh "PROMPT" [-m FILE.gguf] [--timeline]: builds libllmcall if needed, obtains a small real model, streams the answer.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/examples/setup.sh"

usage() {
    cat <<TEXT
Usage: examples/quickstart.sh "PROMPT" [options]

Builds libllmcall into build/ if needed, obtains SmolLM2-135M-Instruct (93 MB, once) and streams its answer.

  -m FILE      another GGUF model instead
  --timeline   show where the time went, stage by stage
  -h, --help   this text
Any further option goes to build/llmcall-chat (see its --help).
TEXT
}

prompt= model= asked=0
case "${1:-}" in
    '') usage >&2; exit 2 ;;
    -h | --help) usage; exit 0 ;;
esac
rest=
quote() { printf "'%s' " "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }
while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help) usage; exit 0 ;;
        -m) [ $# -ge 2 ] || die "-m needs a file."; model=$2; shift ;;
        -*) rest="$rest$(quote "$1")"
            case "$1" in
                --system | --max-tokens | --temp | --seed | --threads | --top-p | --top-k | --min-p | --context)
                    [ $# -ge 2 ] || die "$1 needs a value."; rest="$rest$(quote "$2")"; shift ;;
            esac ;;
        *) [ $asked = 0 ] || die "One prompt at a time; put it in quotes."
           prompt=$1 asked=1 ;;
    esac
    shift
done
[ $asked = 1 ] || { usage >&2; exit 2; }

if [ ! -x "$root/build/llmcall-chat" ]; then
    # shellcheck disable=SC2086
    install_missing $build_packages
    say "Building libllmcall"
    build_in "$root/build" -Dtests=false
fi
[ -n "$model" ] || model=$(fetch_model)
# The small quantized model answers better with this system prompt than with its own default one.
eval "exec \"\$root/build/llmcall-chat\" -m \"\$model\" -p \"\$prompt\" --system 'You are a helpful assistant.' --temp 0 $rest"
