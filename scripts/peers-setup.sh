#!/bin/sh
# Installs the clients of other monitors that the tests call: curl, zabbix_sender, and for Python those of Consul and
# StatsD. Debian 12.
#
#   scripts/peers-setup.sh           install what is missing (as root)
#   scripts/peers-setup.sh --check   only say what is missing
set -eu
missing=
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v zabbix_sender >/dev/null 2>&1 || missing="$missing zabbix-agent"
# Debian's own Python: another may stand first in PATH and not know its modules.
for module in consul statsd; do
    /usr/bin/python3 -c "import $module" >/dev/null 2>&1 || missing="$missing python3-$module"
done
[ -n "$missing" ] || { echo "the tests of peers have all they need"; exit 0; }
if [ "${1:-}" = --check ]; then
    echo "missing:$missing; install with: sh scripts/peers-setup.sh" >&2
    exit 1
fi
# Only zabbix_sender is wanted: the agent itself is not started (invoke-rc.d heeds RUNLEVEL).
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
# The package lists may be fresh already, so they are fetched only when the first try fails.
# shellcheck disable=SC2086 -- one word each
apt-get -o DPkg::Lock::Timeout=600 -qq install -y --no-install-recommends $missing >/dev/null 2>&1 || {
    apt-get -o DPkg::Lock::Timeout=600 -qq update
    apt-get -o DPkg::Lock::Timeout=600 -qq install -y --no-install-recommends $missing >/dev/null
}
