#!/usr/bin/env bash
# Builds every module named as module:package:budget-in-KiB into dist/, finishes
# it with the post-link step and copies the filters' JSON Schemas beside it.
set -euo pipefail
cd "$(dirname "$0")/.."

target=wasm32-wasip1
# MESHPACK_PROFILE_DIR etc. are cargo's business; ask it where it builds.
out=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
mkdir -p dist dist/examples

# A module says where it panicked; it need not say on whose machine it was built.
home=${CARGO_HOME:-$HOME/.cargo}
export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="--remap-path-prefix=$PWD=meshpack"
for sources in "$home"/registry/src/*/; do
    CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS+=" --remap-path-prefix=${sources%/}=crates"
done

[ -n "${BUILT:-}" ] || cargo build -q -p meshpack-postlink
postlink="$out/debug/meshpack-postlink"

for spec in "$@"; do
    IFS=: read -r module package budget <<< "$spec"
    echo "build: $module" >&2
    # --crate-type here and not in Cargo.toml: a crate that is a library too
    # would lose link-time optimisation.
    cargo rustc -q -p "$package" --lib --release --target "$target" \
        --features module --crate-type cdylib
    library=${package//-/_}
    "$postlink" "$out/$target/release/$library.wasm" -o "dist/$module.wasm" --max-kib "$budget"
    folder=filters/${package#meshpack-}
    if [ -f "$folder/schema.json" ]; then
        cp "$folder/schema.json" "dist/$module.schema.json"
    fi
done

cargo build -q -p meshpack-sdk --examples --release --target "$target"
for example in empty tag_tenant; do
    "$postlink" "$out/$target/release/examples/$example.wasm" -o "dist/examples/$example.wasm" 2> /dev/null
done

# For tests: what retry_budget is measured against, a pack that traps, and a guard that
# fails to load.
for example in per_attempt trapping refusing; do
    cargo rustc -q -p "meshpack-${example//_/-}" --lib --release --target "$target" --crate-type cdylib
    "$postlink" "$out/$target/release/meshpack_$example.wasm" -o "dist/examples/$example.wasm" --max-kib 800 2> /dev/null
done
