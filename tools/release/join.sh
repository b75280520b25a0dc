#!/usr/bin/env bash
# Joins what was built on each architecture into one release: what does not depend on the
# architecture has to be the same, and the images of the command become one.
#
# usage: join.sh PARTS FOLDER
#   PARTS  a folder for each architecture, as tools/release.sh makes it
set -euo pipefail

parts=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
here=$(cd "$(dirname "$0")" && pwd)

for part in "$parts"/*/; do
    (cd "$part" && sha256sum --check --quiet SHA256SUMS)
    while IFS= read -r -d '' file; do
        if [ -e "$out/$file" ] && ! cmp -s "$part/$file" "$out/$file"; then
            echo "release: $file is not the same on each architecture" >&2
            exit 1
        fi
        mkdir -p "$out/$(dirname "$file")"
        cp "$part/$file" "$out/$file"
    done < <(cd "$part" && find . -type f ! -name SHA256SUMS -printf '%P\0' | sort -z)
done
PYTHONDONTWRITEBYTECODE=1 python3 "$here/join-images.py" "$out/images/cli" "$out"/images/cli-*
(cd "$out" && find . -type f ! -name SHA256SUMS -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum > SHA256SUMS)
echo "release: $(wc -l < "$out/SHA256SUMS") files in $out" >&2
