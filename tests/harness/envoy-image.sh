#!/bin/sh
# Makes the image envoyproxy/envoy:v<version> from the pinned Envoy binary and the
# libraries it needs, for machines whose Docker engine cannot pull it.
set -eu
version=${1:?usage: envoy-image.sh VERSION}
envoy=${ENVOY_BIN:-$(ENVOY_BACKEND=binary cargo run --quiet --package meshpack-harness --bin envoy-bin -- --version "$version")}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/usr/local/bin" "$root/tmp" "$root/etc"
cp "$envoy" "$root/usr/local/bin/envoy"
chmod 755 "$root/usr/local/bin/envoy"
chmod 1777 "$root/tmp"
ldd "$envoy" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
tar -C "$root" -c . | docker import \
    --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' \
    --change 'CMD ["envoy", "-c", "/etc/envoy/envoy.yaml"]' \
    - "envoyproxy/envoy:v$version"
