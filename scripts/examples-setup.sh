#!/bin/sh
# Installs what the examples in examples/heartbeat need to run in the tests: a C compiler, Python, Go, Java, and Mono
# for C#. PowerShell is not in Debian; its example runs on a Windows machine (docs/not-proven-under-wine.md).
#
#   scripts/examples-setup.sh           install what is missing (as root)
#   scripts/examples-setup.sh --check   only say what is missing
set -eu
missing=
for tool in cc:gcc python3:python3 go:golang-go javac:default-jdk-headless mcs:mono-mcs mono:mono-runtime; do
    command -v "${tool%%:*}" >/dev/null 2>&1 || missing="$missing ${tool#*:}"
done
[ -n "$missing" ] || { echo "the examples have all they need"; exit 0; }
if [ "${1:-}" = --check ]; then
    echo "missing:$missing; install with: sh scripts/examples-setup.sh" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# The package lists may be fresh already, so they are fetched only when the first try fails.
# shellcheck disable=SC2086 -- one word each
apt-get -o DPkg::Lock::Timeout=600 -qq install -y --no-install-recommends $missing libc6-dev >/dev/null 2>&1 || {
    apt-get -o DPkg::Lock::Timeout=600 -qq update
    apt-get -o DPkg::Lock::Timeout=600 -qq install -y --no-install-recommends $missing libc6-dev >/dev/null
}
