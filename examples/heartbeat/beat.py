#!/usr/bin/env python3
"""Ten heartbeats from Python, standard library only: python3 beat.py orders

Linux: a line on the Unix stream socket. Windows: a message on the named pipe.
"""
import os
import socket
import sys
import time

service = sys.argv[1] if len(sys.argv) > 1 else os.environ["LIFESIGN_SERVICE"]


def connect():
    if os.name == "nt":
        pipe = open(r"\\.\pipe\%s" % os.environ.get("LIFESIGN_LOCAL", "lifesign"), "wb", buffering=0)
        return pipe.write
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.connect(os.path.join(os.environ.get("LIFESIGN_LOCAL", "/run/lifesign"), "stream"))
    stream.setblocking(False)  # a heartbeat must never hold up the program
    return stream.send


beat = connect()
for done in range(1, 11):
    try:
        beat(f"{service} alive progress={done} queue=12.5 message=hello from Python\n".encode())
    except BlockingIOError:
        pass  # the next one says the same
    time.sleep(0.02)
beat(f"{service} stopping\n".encode())
