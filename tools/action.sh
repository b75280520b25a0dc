#!/usr/bin/env bash
# What the action of this repository does: installs meshpack into an environment of its own,
# checks the configurations, runs the scenarios. The inputs are environment variables, as
# action.yml sets them.
set -euo pipefail
shopt -s globstar nullglob

root=$(cd "$(dirname "$0")/.." && pwd)
fail() {
    echo "::error::$*"
    exit 2
}

# Files that patterns name; one that names nothing would be a check that never fails.
files=()
expand() {
    local patterns pattern found
    read -r -d '' -a patterns <<< "$1" || true
    files=()
    for pattern in "${patterns[@]}"; do
        # shellcheck disable=SC2206 # it is a pattern
        found=($pattern)
        [ ${#found[@]} -gt 0 ] || fail "$2: no file matches $pattern"
        files+=("${found[@]}")
    done
}

[ -n "${MESHPACK_SCENARIOS:-}${MESHPACK_CONFIGS:-}" ] || fail "nothing to do: give scenarios, configs or both"

# Before anything is downloaded.
expand "${MESHPACK_CONFIGS:-}" configs
configs=("${files[@]}")
expand "${MESHPACK_SCENARIOS:-}" scenarios
scenarios=("${files[@]}")
envoys=()
for envoy in ${MESHPACK_ENVOY:-}; do
    case $envoy in
    matrix) envoys+=(--matrix) ;;
    *) envoys+=(--envoy "$envoy") ;;
    esac
done

version=${MESHPACK_VERSION:-$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")}
home=$(mktemp -d "${RUNNER_TEMP:-/tmp}/meshpack.XXXXXX")
python3 -m venv "$home"
"$home/bin/pip" install --quiet --disable-pip-version-check "meshpack[envoy]==$version"
export PATH=$home/bin:$PATH
meshpack version

if [ ${#configs[@]} -gt 0 ]; then
    meshpack check "${configs[@]}"
fi
if [ ${#scenarios[@]} -gt 0 ]; then
    report=${MESHPACK_REPORT:-meshpack-report}
    mkdir -p "$report"
    # Told before the run, so that reports of a failure are found, too.
    [ -z "${GITHUB_OUTPUT:-}" ] || echo "report=$report" >> "$GITHUB_OUTPUT"
    meshpack verify "${scenarios[@]}" "${envoys[@]}" --junit "$report/verify.xml" --html "$report/verify.html"
fi
