#!/usr/bin/env bash
# Runs the unit tests of the sdk and the filters on wasm32: the same tests as natively,
# less those that need the mock host or a library that is not made for wasm. Needs Node.js.
set -euo pipefail
cd "$(dirname "$0")/.."

target=wasm32-wasip1
packages=(meshpack-sdk)
# A folder with a record is a filter.
for record in filters/*/src/record.rs; do
    folder=${record%/src/record.rs}
    packages+=("meshpack-${folder#filters/}")
done

if ! command -v node > /dev/null || [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
    echo "wasm-tests: Node.js is missing or too old: install version 20 or later (Debian: apt-get install nodejs)" >&2
    exit 1
fi

export CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings $PWD/tools/wasm-tests/run.mjs"
# In one go, so that what they share is compiled once. A panic aborts here, so what a
# test printed would be lost if it were kept back.
cargo test --no-fail-fast --target "$target" "${packages[@]/#/-p}" --lib -- --nocapture
