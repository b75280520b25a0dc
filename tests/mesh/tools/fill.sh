#!/usr/bin/env bash
# Fills the cache with the programs of a Kubernetes API: only what is missing, one
# after the other, each put in place when it is whole, so that an interrupted run goes on
# where it was. `--where` prints the cache's folder, `--missing` what is not in it.
set -euo pipefail
cd "$(dirname "$0")"

# What is built is decided by these files alone.
pinned=$(cat kubernetes/go.{mod,sum} istio/go.{mod,sum} | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/meshpack/mesh/$pinned

# program = folder of its go.mod, and its package
programs=(
    kube-apiserver:kubernetes:k8s.io/kubernetes/cmd/kube-apiserver
    kubectl:kubernetes:k8s.io/kubernetes/cmd/kubectl
)
# file in the cache = file in Istio's module
files=(
    istio-crds.yaml:manifests/charts/base/files/crd-all.gen.yaml
)
# program = package of Debian's
packages=(etcd:etcd-server docker-registry:docker-registry ip:iproute2)

missing() {
    for entry in "${programs[@]}" "${files[@]}"; do
        [ -e "$cache/${entry%%:*}" ] || echo "${entry%%:*}"
    done
}

case "${1:-}" in
    --where) echo "$cache"; exit ;;
    --missing) missing; exit ;;
esac

say() { echo "mesh-tools: $* ($(date -u +%H:%M:%S))" >&2; }

wanted=()
for entry in "${packages[@]}"; do
    command -v "${entry%%:*}" > /dev/null 2>&1 || wanted+=("${entry#*:}")
done
if [ ${#wanted[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null 2>&1; then
        say "installing ${wanted[*]}"
        apt-get update -qq > /dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" > /dev/null
    else
        echo "mesh-tools: install ${wanted[*]} (packages of Debian)" >&2
        exit 1
    fi
fi

todo=$(missing)
if [ -z "$todo" ]; then
    say "nothing is missing in $cache"
    exit
fi
if ! command -v go > /dev/null 2>&1; then
    echo "mesh-tools: go is missing: install Go 1.26 or later to build" $todo >&2
    exit 1
fi
mkdir -p "$cache"
# Two runs at once would build the same things twice.
exec 9> "$cache.lock"
flock 9
trap 'rm -rf "$cache"/*.new' EXIT

# Without debug information: a tenth less to compile, and files of half the size.
export CGO_ENABLED=0 GOFLAGS=-mod=readonly
jobs=${MESH_TOOLS_JOBS:-$(nproc)}
for entry in "${programs[@]}"; do
    IFS=: read -r program module package <<< "$entry"
    [ -e "$cache/$program" ] && continue
    say "building $program ($(wc -w <<< "$(missing)") left; minutes each on two cores)"
    (cd "$module" && go build -p "$jobs" -trimpath -gcflags=all=-dwarf=false \
        -ldflags='-s -w' -o "$cache/$program.new" "$package")
    mv "$cache/$program.new" "$cache/$program"
done

# Read, not built: `download` checks it against go.sum.
source=$(cd istio && go mod download -json istio.io/istio | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
for entry in "${files[@]}"; do
    install -m 644 "$source/${entry#*:}" "$cache/${entry%%:*}.new"
    mv "$cache/${entry%%:*}.new" "$cache/${entry%%:*}"
done
say "done, in $cache"
