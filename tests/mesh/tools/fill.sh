#!/usr/bin/env bash
# Fills the cache with the programs of a mesh: only what is missing, one after the other,
# each put in place when it is whole, so that an interrupted run goes on where it was.
# `--list` prints what there is to have, as `name path`; `--missing` what is not there.
set -euo pipefail
cd "$(dirname "$0")"

# name = folder of its go.mod, and its package. The cheap and the basic come first.
programs=(
    pilot-agent:istio:istio.io/istio/pilot/cmd/pilot-agent
    pilot-discovery:istio:istio.io/istio/pilot/cmd/pilot-discovery
    kube-apiserver:kubernetes:k8s.io/kubernetes/cmd/kube-apiserver
    kubectl:kubernetes:k8s.io/kubernetes/cmd/kubectl
    istioctl:istio:istio.io/istio/istioctl/cmd/istioctl
    collector:collector:.
)
# name = file in Istio's module
files=(
    istio-crds.yaml:istio:manifests/charts/base/files/crd-all.gen.yaml
    envoy_bootstrap.json:istio:tools/packaging/common/envoy_bootstrap.json
)
# program = package of Debian's
packages=(etcd:etcd-server docker-registry:docker-registry ip:iproute2 iptables:iptables)

# What is built is decided by the module's go.mod and go.sum, and its own source if it has any.
declare -A folder
for module in istio kubernetes collector; do
    pinned=$(find $module -name 'go.mod' -o -name 'go.sum' -o -name '*.go' | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-12)
    folder[$module]=${XDG_CACHE_HOME:-$HOME/.cache}/meshpack/mesh/$module-$pinned
done

list() {
    local entry name module rest
    for entry in "${programs[@]}" "${files[@]}"; do
        IFS=: read -r name module rest <<< "$entry"
        echo "$name ${folder[$module]}/$name"
    done
}

missing() {
    local name path
    list | while read -r name path; do
        [ -e "$path" ] || echo "$name"
    done
}

case "${1:-}" in
    --list) list; exit ;;
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
    say "nothing is missing"
    exit
fi
if ! command -v go > /dev/null 2>&1; then
    echo "mesh-tools: go is missing: install Go 1.26 or later to build" $todo >&2
    exit 1
fi
mkdir -p "${folder[@]}"
# Two runs at once would build the same things twice.
exec 9> "${folder[istio]%/*}/lock"
flock 9
trap 'for one in "${folder[@]}"; do rm -rf "$one"/*.new; done' EXIT

# Without debug information: a tenth less to compile, and files of half the size.
export CGO_ENABLED=0 GOFLAGS=-mod=readonly
jobs=${MESH_TOOLS_JOBS:-$(nproc)}
for entry in "${programs[@]}"; do
    IFS=: read -r program module package <<< "$entry"
    target=${folder[$module]}/$program
    [ -e "$target" ] && continue
    say "building $program ($(wc -w <<< "$(missing)") left; minutes each on two cores)"
    (cd "$module" && go build -p "$jobs" -trimpath -gcflags=all=-dwarf=false \
        -ldflags='-s -w' -o "$target.new" "$package")
    mv "$target.new" "$target"
done

# Read, not built: `download` checks it against go.sum.
source=$(cd istio && go mod download -json istio.io/istio | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
for entry in "${files[@]}"; do
    IFS=: read -r name module path <<< "$entry"
    install -m 644 "$source/$path" "${folder[$module]}/$name.new"
    mv "${folder[$module]}/$name.new" "${folder[$module]}/$name"
done
say "done"
