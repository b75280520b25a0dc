#!/usr/bin/env bash
# What the container of the workflows lacks, as root on Debian.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends python3-pip python3-venv binutils docker.io valgrind > /dev/null
# The checkout belongs to somebody else than the container's root.
git config --global --add safe.directory "$(cd "$(dirname "$0")/.." && pwd)"
