#!/bin/sh
# A real systemd for the tests, thrown away afterwards; it touches nothing of the machine's own.
#
#   systemd-lab.sh start [user|system]  starts one unless it runs, and prints the variables below
#   systemd-lab.sh env            prints them again:  eval "$(scripts/systemd-lab.sh env)"
#   systemd-lab.sh exec COMMAND   runs COMMAND with them
#   systemd-lab.sh status         exits 0 when it runs, 3 when not
#   systemd-lab.sh stop           ends it with all its processes, and removes its folder
#
# LIFESIGN_LAB_NAME (default: lab) lets several run beside each other; LIFESIGN_LAB_BASE (default: /tmp) is where
# their folders lie. Needs root, the Debian packages `systemd dbus util-linux` (and for a system `polkitd`), and cgroup2
# in the kernel.
#
# How: `systemd --user` with a session bus, in mount and cgroup namespaces of its own. The cgroup marks its
# processes, so that stopping cannot miss one; process numbers are the machine's, so that tests can watch and kill
# them directly. Unit files belong in $SYSTEMD_LAB_UNITS, followed by `systemctl --user daemon-reload`.
#
# `system` is systemd as process 1 of a process namespace, with a system bus, polkit and a journal, for what a user
# manager cannot do: users, rights, sandboxes, /etc. It works on copies of /etc and on empty /var/lib, /run and /usr/local; enter it
# with `exec`, since process numbers are its own.
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

# The program of polkit, which every distribution puts elsewhere.
polkitd() {
    for at in /usr/lib/polkit-1/polkitd /usr/libexec/polkitd /usr/libexec/polkit-1/polkitd /usr/lib/policykit-1/polkitd; do
        [ ! -x $at ] || { echo $at; return; }
    done
    fail "no polkitd; install it: apt-get install -y polkitd"
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

# The number of the first process of a system lab, as the machine counts.
first() { for pid in $(cat "$(cgroup)/init.scope/cgroup.procs" 2>/dev/null); do
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != systemd ] || { echo "$pid"; return 0; }; done; return 1; }

is_system() { [ -e "$dir/system" ]; }

in_system() { nsenter -t "$(first)" -m -p -i -u -C -- "$@"; }

answers() { if is_system; then first >/dev/null && in_system systemctl show -p Version >/dev/null 2>&1; else answers_user; fi; }

answers_user() { [ -e "$dir/run/systemd/private" ] && on_bus systemctl --user show -p Version >/dev/null 2>&1; }

is_ready() {
    if is_system; then answers && in_system systemctl --quiet is-active default.target dbus.service 2>/dev/null
    else answers && on_bus systemctl --user --quiet is-active default.target 2>/dev/null; fi
}

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
    [ "$1" != system ] || polkitd >/dev/null
    if answers; then variables; return; fi
    stop
    write_units
    what=inside
    spaces="--cgroup --mount --propagation private"
    if [ "$1" = system ]; then
        touch "$dir/system"
        what=inside-system
        spaces="$spaces --pid --ipc --uts --fork --kill-child"
        write_system_units
    fi
    group=$(cgroup)
    mkdir -p "$group"
    # The cgroup namespace takes the cgroup of whoever makes it as its root, hence joining comes first.
    setsid sh -c 'echo 0 > "$1/cgroup.procs"; exec unshare $3 "$2" "$4"' \
        - "$group" "$self" "$spaces" "$what" </dev/null >"$dir/log" 2>&1 &
    tries=0
    until is_ready; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { cat "$dir/log" >&2; fail "systemd did not come up within 10 s; see $dir/log"; }
        sleep 0.05
    done
    variables
}

write_system_units() {
    for target in sysinit multi-user timers local-fs umount final network-online; do
        printf '[Unit]\nDefaultDependencies=no\n' | unit $target.target
    done
    printf '[Unit]\nRequires=basic.target dbus.service systemd-journald.service\nAfter=basic.target dbus.service\n' \
        | unit default.target
    printf '[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n' | unit dbus.socket
    sed -i 's/--session/--system/' "$dir/base/dbus.service"
    printf '[Manager]\nDefaultTimeoutStartSec=10s\nDefaultTimeoutStopSec=5s\n' > "$dir/etc/system.conf"
    unit systemd-journald.socket <<UNIT
[Unit]
DefaultDependencies=no
[Socket]
ListenStream=/run/systemd/journal/stdout
ListenDatagram=/run/systemd/journal/socket
ListenDatagram=/run/systemd/journal/dev-log
PassCredentials=yes
Service=systemd-journald.service
UNIT
    unit systemd-journald.service <<UNIT
[Unit]
DefaultDependencies=no
Requires=systemd-journald.socket
After=systemd-journald.socket
[Service]
Type=notify
ExecStart=$(dirname "$systemd")/systemd-journald
Sockets=systemd-journald.socket
StandardOutput=null
UNIT
    # The real polkitd, for what lifesign's own user may do; the bus starts it when it is asked for.
    unit polkit.service <<UNIT
[Unit]
DefaultDependencies=no
[Service]
Type=dbus
BusName=org.freedesktop.PolicyKit1
ExecStart=$(polkitd) --no-debug
UNIT
    printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitBurst=0\n' > "$dir/etc/journald.conf"
}

# The second half of `start system`: process 1 of its own namespace.
inside_system() {
    need
    mount -t proc -o nosuid,noexec,nodev proc /proc
    # Process 1 sets kernel-wide limits; not those of this machine.
    mount --bind /proc/sys /proc/sys
    mount -o remount,bind,ro /proc/sys
    mkdir -p "$dir/copy"
    cp -a /etc/. "$dir/copy/"
    rm -rf "$dir/copy/systemd" "$dir/copy/sysusers.d"
    rm -rf "$dir/copy/polkit-1/rules.d"/*
    mkdir -p "$dir/copy/systemd/system" "$dir/copy/sysusers.d"
    cp "$dir/etc"/*.conf "$dir/copy/systemd/"
    mount --bind "$dir/copy" /etc
    mount -t tmpfs -o mode=755 tmpfs /usr/local
    mkdir -p /usr/local/bin
    mount -t tmpfs -o mode=755 tmpfs /var/lib
    mkdir -p /var/lib/dbus
    # In memory, as on a machine: systemd removes a service's folder from no other file system.
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /run/dbus /run/systemd/system /run/lock
    # As systemd-tmpfiles makes it on a machine: the members of the group read what is in it.
    install -d -m 2755 -g systemd-journal /run/log/journal
    umount -l /sys/fs/cgroup 2>/dev/null || true
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    exec env -i PATH="$PATH" LANG=C.UTF-8 container=lifesign-lab \
        SYSTEMD_UNIT_PATH="/etc/systemd/system:/run/systemd/transient:/run/systemd/system:$dir/units:$dir/base" \
        SYSTEMD_GENERATOR_PATH="$dir/none" SYSTEMD_ENVIRONMENT_GENERATOR_PATH="$dir/none" \
        "$systemd" --system --unit=default.target --show-status=no --log-target=journal-or-kmsg
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
    start)
        case ${2:-user} in user | system) ;; *) fail "start user, or start system" ;; esac
        start "${2:-user}" ;;
    env) answers || fail "not running"; variables ;;
    exec) shift; answers || fail "not running"
        if is_system; then exec nsenter -t "$(first)" -m -p -i -u -C -- "$@"; fi
        export SYSTEMD_LAB_UNITS="$dir/units"; on_bus "$@" ;;
    status) answers || { echo stopped; exit 3; }; echo running ;;
    stop) stop ;;
    inside) inside ;;
    inside-system) inside_system ;;
    *) sed -n '2,22s/^# \{0,1\}//p' "$self"; exit 2 ;;
esac
