#!/bin/sh
# Makes a Debian 12 (amd64) machine able to build lifesign for Windows and to run its tests under Wine.
#
#     sudo sh scripts/windows-setup.sh      # prints the file to source; a second run changes nothing
#     . "$HOME/.cache/lifesign-wine/env.sh" # WINEPREFIX, linker, runner
#     wine_up                               # keep one Wine server, and with it the service manager, alive
#     cargo nextest run --target x86_64-pc-windows-gnu -p lifesign-os
#     wine_down                             # ends every program of this prefix
#
# WINEPREFIX says where the Wine prefix goes (default: $HOME/.cache/lifesign-wine). Two runs at once take turns.
set -eu

target=x86_64-pc-windows-gnu
prefix=${WINEPREFIX:-$HOME/.cache/lifesign-wine}
root=$(cd "$(dirname "$0")/.." && pwd)

# One run at a time for this prefix; a waiting one finds everything done.
mkdir -p "$(dirname "$prefix")"
exec 9>"$prefix.lock"
flock 9

# Debian packages. wine64 holds Wine, wine the commands; wine32 is not needed for 64-bit programs.
missing=
for package in gcc-mingw-w64-x86-64 wine wine64; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "windows-setup: run as root, or install by hand:$missing" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    # The lists may be fresh already, so they are fetched only when the first try fails.
    # shellcheck disable=SC2086 # a list of package names
    apt-get -o DPkg::Lock::Timeout=600 -qq install -y --no-install-recommends $missing >/dev/null 2>&1 || {
        apt-get -o DPkg::Lock::Timeout=600 -qq update
        apt-get -o DPkg::Lock::Timeout=600 -qq install -y --no-install-recommends $missing >/dev/null
    }
fi

# The target's standard library, for the toolchain that the project pins.
(cd "$root" && rustup target list --installed | grep -qx "$target" || rustup -q target add "$target")

# The Wine prefix: Windows 10 (Wine 8 says 7 by itself), without the runtimes it would ask to download.
export WINEPREFIX="$prefix" WINEDEBUG=-all WINEDLLOVERRIDES='mscoree=;mshtml=;winemenubuilder.exe='
unset DISPLAY
system32=$prefix/drive_c/windows/system32
if [ ! -e "$prefix/lifesign-ready" ]; then
    # Wine's background programs inherit what is open: neither the terminal nor the lock may stay with them.
    wineboot -i </dev/null >/dev/null 2>&1 9>&-
    wine reg add 'HKCU\Software\Wine' /v Version /d win10 /f </dev/null >/dev/null 2>&1 9>&-
    wineserver -w 9>&-
    [ -d "$system32" ] || { echo "windows-setup: wineboot made no prefix in $prefix; remove it and run again" >&2; exit 1; }
    touch "$prefix/lifesign-ready"
fi

# Rust's standard library takes its random numbers from a DLL that Wine 8 does not have.
if [ ! -e "$system32/bcryptprimitives.dll" ]; then
    scratch=$(mktemp -d)
    cat >"$scratch/prng.c" <<'EOF'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length); /* RtlGenRandom */
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T length)
{
    while (length > 0) {
        ULONG part = length > 0x100000 ? 0x100000 : (ULONG)length;
        if (!SystemFunction036(buffer, part)) return FALSE;
        buffer += part;
        length -= part;
    }
    return TRUE;
}
EOF
    x86_64-w64-mingw32-gcc -O2 -shared -o "$scratch/prng.dll" "$scratch/prng.c" -ladvapi32
    mv "$scratch/prng.dll" "$system32/bcryptprimitives.dll"
    rm -rf "$scratch"
fi

cat >"$prefix/env.sh" <<EOF
# Written by lifesign's scripts/windows-setup.sh.
export WINEPREFIX='$prefix' WINEDEBUG=-all WINEDLLOVERRIDES='$WINEDLLOVERRIDES'
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=wine
wine_up() { wineserver -p; wine cmd /c exit </dev/null >/dev/null 2>&1; }
wine_down() { wineserver -k; }
EOF

echo "ready: . $prefix/env.sh"
