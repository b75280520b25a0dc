#!/usr/bin/env bash
# Checks the Prometheus rules with promtool and runs their unit tests. promtool is
# taken from PROMTOOL or the PATH, or out of Debian's package `prometheus`, which
# is unpacked into the cache and not installed. Where none can be had, this says
# so and passes: the project's tests parse every expression all the same.
set -euo pipefail
cd "$(dirname "$0")/../docs/observability"

cache="${XDG_CACHE_HOME:-$HOME/.cache}/meshpack/promtool"
promtool=${PROMTOOL:-$(command -v promtool || true)}

unpack() {
    command -v apt-get > /dev/null && command -v dpkg-deb > /dev/null || return 1
    mkdir -p "$cache"
    (cd "$cache" && apt-get -q -o APT::Sandbox::User=root download prometheus > /dev/null \
        && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb)
}

if [ -z "$promtool" ]; then
    promtool="$cache/usr/bin/promtool"
    if [ ! -x "$promtool" ] && ! unpack; then
        echo "WARNING: no promtool: the checks and unit tests of the Prometheus rules did NOT run." >&2
        [ -z "${MESHPACK_NOT_RUN:-}" ] || echo "promtool's checks and unit tests of the Prometheus rules: no promtool" >> "$MESHPACK_NOT_RUN"
        echo "WARNING: install Prometheus, set PROMTOOL, or run 'apt-get update' so that Debian's package can be had." >&2
        exit 0
    fi
fi

"$promtool" check rules recording-rules.yaml alert-rules.yaml
"$promtool" test rules rules.test.yaml
