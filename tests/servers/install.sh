#!/usr/bin/env bash
# Installs the servers that tests/servers puts behind Envoy, those that are missing:
# Debian's with apt (as root), Python's and Node's frameworks and the compiled programs
# into a cache. What cannot be had here is said and left out; the tests say it again.
set -uo pipefail
cd "$(dirname "$0")"
cache=${MESHPACK_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/meshpack/servers}
mkdir -p "$cache"

say() { echo "servers: $*" >&2; }
lacks() { say "$1: NOT installed: $2"; }

# Package, and a file, a program, or (+) a command that shows that it is there.
packages=(
    nginx:/usr/sbin/nginx
    apache2-bin:/usr/sbin/apache2
    lighttpd:/usr/sbin/lighttpd
    caddy:/usr/bin/caddy
    h2o:/usr/bin/h2o
    libtomcat10-java:/usr/share/java/tomcat10-catalina.jar
    libjetty9-java:/usr/share/java/jetty9-server.jar
    php-cli:/usr/bin/php
    php-fpm:/usr/sbin/php-fpm[0-9]*
    ruby:/usr/bin/ruby
    ruby-webrick:/usr/share/rubygems-integration/all/gems/webrick-*
    puma:/usr/bin/puma
    ruby-rack:/usr/share/rubygems-integration/all/gems/rack-[0-9]*
    default-jdk-headless:javac
    nodejs:node
    npm:npm
    golang-go:go
    "python3-venv:+${PYTHON:-python3} -c 'import ensurepip'"
)

there() {
    case $1 in
        /*) compgen -G "$1" > /dev/null ;;
        +*) bash -c "${1#+}" > /dev/null 2>&1 ;;
        *) command -v "$1" > /dev/null 2>&1 ;;
    esac
}

missing=()
for package in "${packages[@]}"; do
    there "${package#*:}" || missing+=("${package%%:*}")
done
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null 2>&1; then
        say "installing ${missing[*]}"
        # A package that starts its server would take port 80 of this machine.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e $policy ]; then
            trap 'rm -f /usr/sbin/policy-rc.d' EXIT
            printf '#!/bin/sh\nexit 101\n' > $policy
            chmod 755 $policy
        fi
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq > "$cache/apt.log" 2>&1 || say "apt-get update failed, trying with the lists at hand"
        if ! apt-get install -y -qq --no-install-recommends "${missing[@]}" >> "$cache/apt.log" 2>&1; then
            # One that is not there must not keep the others away.
            for package in "${missing[@]}"; do
                apt-get install -y -qq --no-install-recommends "$package" >> "$cache/apt.log" 2>&1 \
                    || lacks "$package" "apt-get has no such package here, see $cache/apt.log"
            done
        fi
    else
        lacks "${missing[*]}" "not root on Debian; install them by hand to have these servers tried"
    fi
fi

# once NAME MAKER SOURCES: runs MAKER unless what it makes was made from the same sources.
once() {
    local name=$1 maker=$2 stamp
    shift 2
    stamp=$(cat "$@" | sha256sum | cut -d' ' -f1)
    if [ "$(cat "$cache/$name.stamp" 2> /dev/null)" = "$stamp" ]; then
        return
    fi
    say "preparing $name"
    rm -f "$cache/$name.stamp"
    if "$maker" > "$cache/$name.log" 2>&1; then
        echo "$stamp" > "$cache/$name.stamp"
    else
        lacks "$name" "$(tail -n 1 "$cache/$name.log") (see $cache/$name.log)"
    fi
}

python_packages() {
    rm -rf "$cache/python"
    "${PYTHON:-python3}" -m venv "$cache/python" \
        && "$cache/python/bin/pip" install -q --disable-pip-version-check --require-hashes --only-binary :all: -r programs/python/requirements.txt
}

node_packages() {
    mkdir -p "$cache/node" \
        && cp programs/node/package.json programs/node/package-lock.json "$cache/node/" \
        && (cd "$cache/node" && npm ci --silent --ignore-scripts --no-audit --no-fund)
}

java_classes() {
    rm -rf "$cache/java" && mkdir -p "$cache/java" || return 1
    # Each alone: without one server's jars the others still compile.
    local compiled=0 source
    for source in programs/java/*.java; do
        if javac -nowarn -cp "/usr/share/java/*" -d "$cache/java" "$source"; then
            compiled=$((compiled + 1))
        fi
    done
    [ $compiled = "$(ls programs/java/*.java | wc -l)" ]
}

go_program() {
    (cd programs/go && GOFLAGS=-mod=mod go build -o "$cache/go-server" .)
}

if there python3; then once python python_packages programs/python/requirements.txt; fi
if there npm; then once node node_packages programs/node/package-lock.json; fi
if there javac; then once java java_classes programs/java/*.java; fi
if there go; then once go go_program programs/go/*; fi
say "ready in $cache"
