#!/usr/bin/env bash
# Publishes a release's files under its tag, with its section of the changelog. Needs gh,
# logged in; what is published by mistake is a draft until somebody says so.
#
# usage: publish.sh TAG FOLDER
set -euo pipefail

tag=$1
notes=$(mktemp)
trap 'rm -f "$notes"' EXIT
awk -v version="## ${tag#v}" 'index($0, "## ") == 1 { inside = index($0, version) == 1; next } inside' \
    "$(dirname "$0")/../../CHANGELOG.md" > "$notes"
mapfile -d '' -t files < <(find "$2" -maxdepth 1 -type f -print0 | LC_ALL=C sort -z)
gh release create "$tag" --draft --verify-tag --notes-file "$notes" "${files[@]}"
