#!/usr/bin/env bash
# Pushes the images of a release, and prints each by its digest, one a line. As they are: the
# digests are those in the manifests of the release. Needs skopeo, logged in.
#
# usage: push-images.sh RELEASE PREFIX [OPTION OF SKOPEO COPY]...
set -euo pipefail

release=$1 prefix=$2
shift 2
for layout in "$release"/images/*/; do
    name=$(basename "$layout")
    case $name in cli-*) continue ;; esac
    tag=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"])' "$layout/index.json")
    digest=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["manifests"][0]["digest"])' "$layout/index.json")
    skopeo copy --quiet --all --preserve-digests "$@" "oci:${layout%/}:$tag" "docker://$prefix/$name:$tag" >&2
    echo "$prefix/$name@$digest"
done
