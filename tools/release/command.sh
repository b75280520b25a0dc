#!/usr/bin/env bash
# Builds the meshpack command that ships, for the machine's own architecture, and prints
# its path. Linked with all of the C library, so it runs on any Linux, whichever C library
# that has; no path of this machine, no time and no build id is in it.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=$(uname -m)-unknown-linux-gnu
: "${MESHPACK_BUILD:=$(git rev-parse --short=12 HEAD 2> /dev/null || echo release)}"
# What differs between dev builds and what ships: no folder of sources is built in.
export MESHPACK_BUILD MESHPACK_RELEASE=1 CARGO_INCREMENTAL=0

home=${CARGO_HOME:-$HOME/.cargo}
flags="-C target-feature=+crt-static -C link-arg=-Wl,--build-id=none --remap-path-prefix=$PWD=meshpack"
c_flags="-ffile-prefix-map=$PWD=meshpack"
for sources in "$home"/registry/src/*/; do
    flags+=" --remap-path-prefix=${sources%/}=crates"
    c_flags+=" -ffile-prefix-map=${sources%/}=crates"
done
variable=$(tr 'a-z-' 'A-Z_' <<< "$target")
export "CARGO_TARGET_${variable}_RUSTFLAGS=$flags"
export "CFLAGS_${target//-/_}=$c_flags"

cargo build -q --locked --profile command --target "$target" -p meshpack --bin meshpack >&2

out=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
echo "$out/$target/command/meshpack"
