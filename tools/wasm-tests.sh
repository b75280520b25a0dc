#!/usr/bin/env bash
# Runs the cores' unit tests on wasm32 with wasm-bindgen-test: the same tests as
# natively, less the property tests. Needs Node.js; the runner is built once and
# cached outside the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."

target=wasm32-unknown-unknown
# Packages whose tests know wasm_bindgen_test.
packages=(meshpack-canary-split meshpack-retry-budget meshpack-telemetry)

if ! command -v node > /dev/null; then
    echo "wasm-tests: Node.js is missing: install version 18 or later (Debian: apt-get install nodejs)" >&2
    exit 1
fi
if ! rustup target list --installed | grep -qx "$target"; then
    rustup target add "$target"
fi

# Runner and library must be of the same version.
version=$(sed -n '/^name = "wasm-bindgen"$/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/meshpack/wasm-bindgen-$version
runner=$cache/bin/wasm-bindgen-test-runner
if [ ! -x "$runner" ]; then
    echo "wasm-tests: building wasm-bindgen-test-runner $version (once, about two minutes)" >&2
    # A debug build takes half as long and runs these tests as fast.
    cargo install -q wasm-bindgen-cli --version "$version" --debug --no-default-features \
        --bin wasm-bindgen-test-runner --root "$cache"
fi

# Where Node.js finds the module "env", the host that unit tests must not need.
export NODE_PATH=$PWD/tools/wasm-tests

for package in "${packages[@]}"; do
    echo "wasm-tests: $package" >&2
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$runner WASM_BINDGEN_TEST_TIMEOUT=120 \
        cargo test --target "$target" -p "$package" --lib
done
