#!/usr/bin/env bash
# What to run after a change in a filter, the pack or the sdk: format, lints of what
# changed, its unit tests, its module and one end-to-end test in a stock Envoy.
# CHANGED names the packages' folders; without it, git says what differs from main.
set -euo pipefail
cd "$(dirname "$0")/.."

changed() {
    local base
    base=$(git merge-base HEAD origin/main 2> /dev/null || git rev-parse HEAD)
    {
        git diff --name-only "$base"
        git ls-files --others --exclude-standard
    } | sed -nE 's#^(filters/[^/]+|sdk|cli|tests/harness)/.*\.(rs|toml|json)$#\1#p' | sort -u
}

# What tools/build.sh is told of a filter's module.
module() {
    local budget
    budget=$(sed -n "s/.*[ =]\([a-z_]*:meshpack-$1:[0-9]*\).*/\1/p" Makefile)
    echo "${budget:?no module of meshpack-$1 in the Makefile}"
}
# The test that stands for all of it.
end_to_end() {
    case $1 in
        filters/authz-policy) echo authz::examples::the_example_of_the_page_runs ;;
        filters/canary-split) echo canary::examples::the_example_of_the_page_runs ;;
        filters/retry-budget) echo retry_budget::examples::the_examples_of_the_page_run ;;
        filters/telemetry) echo telemetry::files::the_envoy_configuration_measures_logs_and_traces ;;
        filters/pack) echo pack::examples::the_examples_of_the_page_run ;;
        sdk) echo sdk::the_example_filter ;;
    esac
}

folders=${CHANGED:-$(changed)}
if [ -z "$folders" ]; then
    echo "quick: nothing changed since main; CHANGED=filters/canary-split make quick checks that" >&2
    exit 0
fi

step() {
    echo "quick: $* ($SECONDS s)" >&2
}

step format
cargo fmt --all --check
packages=() modules=() tests=()
for folder in $folders; do
    package=$(sed -n 's/^name = "\(.*\)"/\1/p' "$folder/Cargo.toml" | head -n 1)
    packages+=(-p "$package")
    case $folder in filters/*) modules+=("$(module "${folder#filters/}")") ;; esac
    tests+=($(end_to_end "$folder"))
done
step "lints of $folders"
cargo clippy -q "${packages[@]}" --all-targets -- -D warnings
step "unit tests"
cargo test -q "${packages[@]}" --lib
if [ ${#modules[@]} -gt 0 ]; then
    step "modules"
    ./tools/build.sh "${modules[@]}"
fi
if [ ${#tests[@]} -gt 0 ]; then
    step "end to end: ${tests[*]}"
    # As make test compiles it: all members, so the same features.
    cargo test -q --workspace --test e2e -- "${tests[@]}"
fi
step "all green; make test runs the rest"
