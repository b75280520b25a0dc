#!/usr/bin/env bash
# Holds the dependencies to deny.toml: licences, bans with duplicates, sources. Advisories
# need the network for their database; MESHPACK_ADVISORIES=1 checks them, too.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
home=${XDG_CACHE_HOME:-$HOME/.cache}/meshpack/tools/cargo-deny-$version
deny=$home/bin/cargo-deny
if [ ! -x "$deny" ]; then
    # Two minutes of processor time; it runs for a second, so its code need not be fast.
    echo "deny: building cargo-deny $version, once" >&2
    target=$(mktemp -d)
    trap 'rm -rf "$target"' EXIT
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo install -q --locked --version "$version" --root "$home" --target-dir "$target" cargo-deny
fi

checks=(licenses bans sources)
if [ -n "${MESHPACK_ADVISORIES:-}" ]; then
    checks+=(advisories)
else
    note="advisories of dependencies: their database is fetched (MESHPACK_ADVISORIES=1, and in the workflow)"
    echo "deny: NOT checked: $note" >&2
    [ -z "${MESHPACK_NOT_RUN:-}" ] || echo "$note" >> "$MESHPACK_NOT_RUN"
fi
"$deny" check -D warnings "${checks[@]}"
