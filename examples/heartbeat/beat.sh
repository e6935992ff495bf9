#!/bin/sh
# Heartbeats from a shell, without any tool: a note in a file (`agent: { local: { notes: true } }`).
#     sh beat.sh orders
set -eu
service=${1:-$LIFESIGN_SERVICE}
notes=${LIFESIGN_LOCAL:-/run/lifesign}/notes
done=0
while [ "$done" -lt 10 ]; do
    done=$((done + 1))
    # Written beside it and moved, so that nobody reads half a note.
    echo "alive progress=$done queue=12.5 message=hello from a shell" >"$notes/.$service.new"
    mv "$notes/.$service.new" "$notes/$service"
    sleep 0.1
done
