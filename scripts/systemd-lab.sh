#!/bin/sh
# A real systemd for the tests, thrown away afterwards; it touches nothing of the machine's own.
#
#   systemd-lab.sh start [user]   starts one unless it runs, and prints the variables below
#   systemd-lab.sh env            prints them again:  eval "$(scripts/systemd-lab.sh env)"
#   systemd-lab.sh exec COMMAND   runs COMMAND with them
#   systemd-lab.sh status         exits 0 when it runs, 3 when not
#   systemd-lab.sh stop           ends it with all its processes, and removes its folder
#
# LIFESIGN_LAB_NAME (default: lab) lets several run beside each other; LIFESIGN_LAB_BASE (default: /tmp) is where
# their folders lie. Needs root, the Debian packages `systemd dbus util-linux`, and cgroup2 in the kernel.
#
# How: `systemd --user` with a session bus, in mount and cgroup namespaces of its own. The cgroup marks its
# processes, so that stopping cannot miss one; process numbers are the machine's, so that tests can watch and kill
# them directly. Unit files belong in $SYSTEMD_LAB_UNITS, followed by `systemctl --user daemon-reload`.
set -eu

name=${LIFESIGN_LAB_NAME:-lab}
dir=${LIFESIGN_LAB_BASE:-/tmp}/lifesign-systemd-$name
self=$(readlink -f "$0")
bus=unix:path=$dir/run/bus

fail() { echo "systemd-lab: $*" >&2; exit 1; }

need() {
    [ "$(id -u)" = 0 ] || fail "must be root: it makes namespaces and a cgroup"
    for tool in dbus-daemon systemctl unshare; do
        command -v "$tool" >/dev/null || fail "no $tool; install it: apt-get install -y systemd dbus util-linux"
    done
    systemd=/usr/lib/systemd/systemd
    [ -x $systemd ] || systemd=/lib/systemd/systemd
    [ -x $systemd ] || fail "no systemd; install it: apt-get install -y systemd dbus util-linux"
}

# The lab's cgroup, under wherever cgroup2 is mounted (machines with cgroup v1 have it at a side).
cgroup() {
    root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    if [ -z "$root" ]; then
        root=$dir.cgroup2
        mkdir -p "$root"
        mount -t cgroup2 cgroup2 "$root" || fail "the kernel has no cgroup2"
    fi
    echo "$root/lifesign-$name"
}

answers() { [ -e "$dir/run/systemd/private" ] && on_bus systemctl --user show -p Version >/dev/null 2>&1; }

is_ready() { answers && on_bus systemctl --user --quiet is-active default.target 2>/dev/null; }

on_bus() { XDG_RUNTIME_DIR=$dir/run DBUS_SESSION_BUS_ADDRESS=$bus "$@"; }

variables() {
    echo "export SYSTEMD_LAB_UNITS='$dir/units'"
    echo "export XDG_RUNTIME_DIR='$dir/run'"
    echo "export DBUS_SESSION_BUS_ADDRESS='$bus'"
}

unit() { cat > "$dir/base/$1"; }

write_units() {
    mkdir -p "$dir/base" "$dir/units" "$dir/home" "$dir/etc"
    mkdir -m 700 -p "$dir/run"
    for target in basic sockets shutdown exit; do
        printf '[Unit]\nDefaultDependencies=no\n' | unit $target.target
    done
    # A test that waits for a start or a stop to fail should not wait for minutes.
    printf '[Manager]\nDefaultTimeoutStartSec=10s\nDefaultTimeoutStopSec=5s\n' > "$dir/etc/user.conf"
    unit default.target <<UNIT
[Unit]
Requires=basic.target dbus.service
After=basic.target dbus.service
UNIT
    unit dbus.socket <<UNIT
[Unit]
DefaultDependencies=no
[Socket]
ListenStream=$dir/run/bus
UNIT
    unit dbus.service <<UNIT
[Unit]
DefaultDependencies=no
Requires=dbus.socket
After=dbus.socket
[Service]
Type=notify
NotifyAccess=main
ExecStart=$(command -v dbus-daemon) --session --address=systemd: --nofork --nopidfile --systemd-activation
UNIT
}

start() {
    need
    if answers; then variables; return; fi
    stop
    write_units
    group=$(cgroup)
    mkdir -p "$group"
    # The cgroup namespace takes the cgroup of whoever makes it as its root, hence joining comes first.
    setsid sh -c 'echo 0 > "$1/cgroup.procs"; exec unshare --cgroup --mount --propagation private "$2" inside' \
        - "$group" "$self" </dev/null >"$dir/log" 2>&1 &
    tries=0
    until is_ready; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { cat "$dir/log" >&2; fail "systemd did not come up within 10 s; see $dir/log"; }
        sleep 0.05
    done
    variables
}

# The second half of start, inside the namespaces.
inside() {
    need
    # A user manager runs only where /run/systemd/system says that the machine runs systemd.
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /run/systemd/system
    mkdir -p /etc/systemd
    mount --bind "$dir/etc" /etc/systemd
    umount -l /sys/fs/cgroup 2>/dev/null || true
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    # Empty folders of generators: nothing of the machine's own units comes in.
    exec env -i PATH="$PATH" LANG=C.UTF-8 HOME="$dir/home" \
        XDG_RUNTIME_DIR="$dir/run" DBUS_SESSION_BUS_ADDRESS="$bus" \
        SYSTEMD_UNIT_PATH="$dir/home/.config/systemd/user:$dir/run/systemd/transient:$dir/units:$dir/base" \
        SYSTEMD_GENERATOR_PATH="$dir/none" SYSTEMD_ENVIRONMENT_GENERATOR_PATH="$dir/none" \
        "$systemd" --user --unit=default.target --log-level=warning --log-target=console
}

stop() {
    [ "$(id -u)" = 0 ] || fail "must be root"
    group=$(cgroup)
    tries=0
    while [ -d "$group" ]; do
        # One write ends every process of the lab and no other (Linux 5.14).
        echo 1 > "$group/cgroup.kill" || fail "cannot kill the processes in $group"
        # A cgroup goes once its processes have; children before parents.
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
        tries=$((tries + 1))
        [ $tries -lt 100 ] || fail "processes left in $group"
        [ ! -d "$group" ] || sleep 0.05
    done
    if [ -d "$dir.cgroup2" ]; then umount "$dir.cgroup2" && rmdir "$dir.cgroup2"; fi
    rm -rf --one-file-system "$dir"
}

case ${1:-} in
    start) [ "${2:-user}" = user ] || fail "only a user manager can be started"; start ;;
    env) answers || fail "not running"; variables ;;
    exec) shift; answers || fail "not running"; export SYSTEMD_LAB_UNITS="$dir/units"; on_bus "$@" ;;
    status) answers || { echo stopped; exit 3; }; echo running ;;
    stop) stop ;;
    inside) inside ;;
    *) sed -n '2,17s/^# \{0,1\}//p' "$self"; exit 2 ;;
esac
