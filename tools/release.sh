#!/usr/bin/env bash
# Makes everything that a release ships, into a folder: the modules, the command, the wheel,
# archives, images, bills of materials, checksums. The same sources, compiler and C library
# give the same bytes, wherever and whenever.
#
# usage: release.sh COMMAND FOLDER
#   COMMAND  the meshpack to ship, as tools/release/command.sh builds it
#
# The modules are those in dist/ (make build).
set -euo pipefail
cd "$(dirname "$0")/.."

command=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
say() { echo "release: $*" >&2; }

: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2> /dev/null || echo 0)}"
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC PYTHONDONTWRITEBYTECODE=1
umask 022

machine=$(uname -m)
target=$machine-unknown-linux-gnu
case $machine in
x86_64) architecture=amd64 ;;
aarch64) architecture=arm64 ;;
*) say "$machine has no stock Envoy, so nothing is released for it" && exit 1 ;;
esac

# Which Linux it runs on is what it is linked with, and nothing that anybody claims.
needed=$(objdump -T "$command" 2> /dev/null | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1 || true)
if [ -z "$needed" ]; then
    # As static programs are tagged: any C library.
    tags=manylinux_2_17_$machine.manylinux2014_$machine.musllinux_1_1_$machine
else
    needed=${needed#GLIBC_}
    tags=manylinux_${needed//./_}_$machine
    say "the command is linked dynamically, and needs glibc $needed"
fi

about=$("$command" version --json --modules dist) || {
    "$command" version --modules dist >&2 || true
    say "modules and command do not belong together: make build"
    exit 1
}
field() { python3 -c 'import json, sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$about" "$1"; }
version=$(field version)
envoy=$(field envoy)
name=meshpack-$version-linux-$machine
modules=(authz_policy canary_split retry_budget telemetry meshpack)
files=("${modules[@]/#/dist/}")
files=("${files[@]/%/.wasm}")

rm -rf "${out:?}"/*
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

say "licences and bills of materials"
python3 tools/release/notices.py "$stage/THIRD-PARTY-LICENSES.txt"
python3 tools/release/sbom.py command "$target" "$out/meshpack-$version-linux-$machine.cdx.json"
python3 tools/release/sbom.py modules "$out/meshpack-modules-$version.cdx.json" \
    "${files[@]}"

say "$name"
prefix=$stage/prefix
share=$prefix/share
install -Dm 755 "$command" "$prefix/bin/meshpack"
for module in "${modules[@]}"; do
    install -Dm 644 "dist/$module.wasm" "dist/$module.schema.json" -t "$share/meshpack"
done
install -m 644 dist/stats-tags.yaml -t "$share/meshpack"
install -Dm 644 LICENSE CHANGELOG.md "$stage/THIRD-PARTY-LICENSES.txt" -t "$share/doc/meshpack"
mkdir -p "$share/man/man1" "$share/bash-completion/completions" "$share/zsh/site-functions" \
    "$share/fish/vendor_completions.d"
"$command" man --output "$share/man/man1"
"$command" completions bash > "$share/bash-completion/completions/meshpack"
"$command" completions zsh > "$share/zsh/site-functions/_meshpack"
"$command" completions fish > "$share/fish/vendor_completions.d/meshpack.fish"
python3 tools/release/archive.py "$prefix" "$out/$name.tar.gz" "$name"
python3 tools/release/wheel.py "$prefix" "$version" "$envoy" "$tags" "$out" > /dev/null

say "modules, schemas, images, manifests"
cp "$share/meshpack"/* "$out"
cp LICENSE "$stage/THIRD-PARTY-LICENSES.txt" "$out"
manifests=$stage/manifests
mkdir "$manifests"
cp -r istio-manifests envoy-gateway-manifests consul-manifests "$manifests"
# The manifests in git name nobody's registry.
find "$manifests" -type f -exec sed -i 's#registry\.example\.com/meshpack#ghcr.io/meshpack#g' {} +
"$command" bundle --modules dist --tag "$version" --output "$out/images" --pin "$manifests" > /dev/null
python3 tools/release/archive.py "$manifests" "$out/meshpack-manifests-$version.tar.gz" "meshpack-manifests-$version"
if [ -z "$needed" ]; then
    python3 tools/release/image.py "$prefix" "$version" "$architecture" "$out/images/cli-$architecture" > /dev/null
else
    say "no image of the command: it brings no C library of its own"
fi

(cd "$out" && find . -type f ! -name SHA256SUMS -printf '%P\0' | sort -z | xargs -0 sha256sum > SHA256SUMS)
say "$(wc -l < "$out/SHA256SUMS") files in $out"
