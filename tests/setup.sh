#!/usr/bin/env bash
# Installs what the tests need, as Debian packages, as root. Quick when everything is there; without root it only says what is missing.
set -euo pipefail

declare -A packages=(
    [cc]=gcc [g++]=g++ [make]=make [busybox]=busybox-static [go]=golang-go [redis-server]=redis-server [redis-cli]=redis-tools
    [sqlite3]=sqlite3 [node]=nodejs [javac]=default-jdk-headless [git]=git [perl]=perl [xz]=xz-utils [python3]=python3
)
missing=()
for command in "${!packages[@]}"; do
    command -v "$command" >/dev/null || missing+=("${packages[$command]}")
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "skipped: the tests that need ${missing[*]}, which cannot be installed here" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
# The package starts a server of its own.
service redis-server stop >/dev/null 2>&1 || true
