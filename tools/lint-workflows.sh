#!/usr/bin/env bash
# Checks the workflows, those of the pages included, with actionlint.
set -euo pipefail
cd "$(dirname "$0")/.."

version=v1.7.12
home=${XDG_CACHE_HOME:-$HOME/.cache}/meshpack/tools/actionlint-$version
if [ ! -x "$home/actionlint" ]; then
    echo "lint: building actionlint $version, once" >&2
    GOBIN=$home GOFLAGS=-mod=mod go install "github.com/rhysd/actionlint/cmd/actionlint@$version"
fi
# Its check of scripts takes shellcheck where that is installed.
"$home/actionlint" .github/workflows/*.yaml docs/examples/ci/github-actions.yaml
