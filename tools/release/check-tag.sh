#!/usr/bin/env bash
# Refuses a tag that is not the version of the sources, or that the changelog does not know.
#
# usage: check-tag.sh TAG
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
if [ "$1" != "v$version" ]; then
    echo "release: the tag is $1, and the sources are of version $version: tag v$version, or set the version in Cargo.toml" >&2
    exit 1
fi
if ! grep -q "^## $version\b" CHANGELOG.md; then
    echo "release: CHANGELOG.md has no section '## $version': give what is under Unreleased that name" >&2
    exit 1
fi
