#!/usr/bin/env bash
# Makes the release once more in another folder, from a clean clone of this commit, and
# compares it with dist/release: what differs is listed, and fails.
set -euo pipefail
cd "$(dirname "$0")/../.."

first=$PWD/dist/release/SHA256SUMS
again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT
git clone -q . "$again/elsewhere"
env -u CARGO_TARGET_DIR make -C "$again/elsewhere" release > "$again/log" 2>&1 || {
    tail -n 30 "$again/log"
    exit 1
}
if diff "$first" "$again/elsewhere/dist/release/SHA256SUMS"; then
    echo "release: $(wc -l < "$first") files, the same in another folder"
else
    echo "release: these files differ from one folder to another" >&2
    exit 1
fi
