#!/usr/bin/env bash
# Builds the modules that the benchmark compares with into dist/bench/.
set -euo pipefail
cd "$(dirname "$0")/.."
target=wasm32-wasip1
out=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
cargo build -q -p meshpack-postlink
cargo build -q -p meshpack-bench-stock --examples --release --target "$target"
for module in stock_empty stock_authz stock_canary stock_retry stock_telemetry; do
    "$out/debug/meshpack-postlink" --keep-exports \
        "$out/$target/release/examples/$module.wasm" -o "dist/bench/$module.wasm" 2> /dev/null
done
