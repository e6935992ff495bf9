#!/bin/sh
# Compiles examples/heartbeat/beat.c for Windows with mingw and lifesign's library for C, to where the tests of
# lifesign-client-ffi look for it: target/x86_64-pc-windows-gnu/debug/examples/beat-c.exe.
# scripts/windows-setup.sh installs the compiler.
set -eu
cd "$(dirname "$0")/.."
triple=x86_64-pc-windows-gnu
cargo build --quiet --target "$triple" -p lifesign-client-ffi
built=${CARGO_TARGET_DIR:-target}/$triple/debug
mkdir -p "$built/examples"
x86_64-w64-mingw32-gcc -std=c11 -Wall -Wextra -Werror -D_POSIX_C_SOURCE=200809L -o "$built/examples/beat-c.exe" \
    examples/heartbeat/beat.c -I crates/client-ffi/include "$built/liblifesign_heart.a" \
    -static -lpthread -lws2_32 -luserenv -lntdll -lbcrypt -ladvapi32
