#!/bin/sh
# Installs what the browser tests need on Debian: chromium, fonts (one with Chinese glyphs), and the npm
# packages of tests/browser. Safe to run again: what is there already is left alone.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)

missing=
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
command -v fc-list >/dev/null 2>&1 || missing="$missing fontconfig"
# Without such a font the Chinese screenshots would show boxes.
if ! command -v fc-list >/dev/null 2>&1 || [ -z "$(fc-list :lang=zh-cn family)" ]; then
    missing="$missing fonts-noto-cjk"
fi
# The dashboard takes the system's own font; Debian's default makes poor pictures.
if ! command -v fc-list >/dev/null 2>&1 || [ -z "$(fc-list Inter family)" ]; then
    missing="$missing fonts-inter"
fi

if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "browser-setup: run as root, or install by hand:$missing" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    # shellcheck disable=SC2086 # a list of package names
    apt-get install -q -y --no-install-recommends $missing
fi

# The versions are pinned exactly in package.json; no lock file, so that no registry's address is kept.
if ! node "$root/tests/browser/installed.mjs"; then
    (cd "$root/tests/browser" && npm install --no-package-lock --no-audit --no-fund)
fi

chromium --version
