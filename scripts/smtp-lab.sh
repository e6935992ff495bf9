#!/bin/sh
# Runs Debian's OpenSMTPD for the tests of the email receiver, in the foreground, until it is killed:
#
#   scripts/smtp-lab.sh FOLDER PORT
#
# It takes mail for ops@lab.test and night@lab.test into FOLDER/mail, refuses everybody else (550) and
# every mail over 64 KiB (554). TLS is tested elsewhere: Debian 12's OpenSMTPD fails each handshake.
#
# OpenSMTPD has one fixed spool and one fixed control socket, so it gets its own in a mount namespace and
# leaves a mail server of this machine alone. That, and changing user for a delivery, needs root.
set -eu

[ $# -eq 2 ] || { echo "usage: $0 FOLDER PORT" >&2; exit 2; }
folder=$(cd "$1" && pwd)
port=$2

PATH=$PATH:/usr/sbin:/sbin
for tool in smtpd:opensmtpd unshare:util-linux; do
    command -v "${tool%%:*}" >/dev/null || {
        echo "$0: ${tool%%:*} is missing; run: apt-get install -y ${tool##*:}" >&2
        exit 1
    }
done
[ "$(id -u)" -eq 0 ] || { echo "$0: OpenSMTPD needs root; run the tests as root" >&2; exit 1; }

mkdir -p "$folder/spool" "$folder/run" "$folder/mail"
chmod 755 "$folder" "$folder/run" "$folder/spool"
chown nobody "$folder/mail"

cat >"$folder/smtpd.conf" <<CONF
table recipients { "ops@lab.test" = nobody, "night@lab.test" = nobody }
table known { "ops@lab.test", "night@lab.test" }
smtp max-message-size 65536
listen on 127.0.0.1 port $port hostname lab.test
action "keep" maildir "$folder/mail" virtual <recipients>
match from any for rcpt-to <known> action "keep"
CONF
chmod 600 "$folder/smtpd.conf"

# Each step replaces the one before, so that the caller's child is smtpd itself.
exec unshare --mount sh -eu -c '
    mount --bind "$1/spool" /var/spool
    mount --bind "$1/run" /run
    exec smtpd -d -f "$1/smtpd.conf"
' smtp-lab "$folder"
