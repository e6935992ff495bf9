#!/usr/bin/env python3
"""A bad network for tests, in user space: kernels without netem have it too.

    network.py DEVICE NAMESPACE=ADDRESS...      an empty namespace is the one this runs in

Opens a TUN device in each namespace, all in one network of 24 bits, and carries packets between them. Lines on standard
input change the network while it runs, each for one address, and are answered on standard output:

    10.77.0.11 loss=5 delay=40 jitter=20        percent each way, milliseconds each way
    10.77.0.11 up=100                           what it sends is lost, what it is sent arrives (`down`: the other way)

Ends with its standard input. Needs root and iproute2.
"""

import ctypes
import fcntl
import heapq
import ipaddress
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 0x1, 0x1000, 0x40000000
# Packets that may be under way; more are lost, as on a real line.
UNDER_WAY = 20_000
LIBC = ctypes.CDLL(None, use_errno=True)


def enter(namespace):
    if LIBC.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def open_tun(device, namespace, address):
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    if namespace:
        enter(os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC))
    try:
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
        subprocess.run(["ip", "addr", "add", f"{address}/24", "dev", device], check=True)
        subprocess.run(["ip", "link", "set", device, "mtu", "1400", "up"], check=True)
        if namespace:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    finally:
        enter(home)
        os.close(home)
    return tun


class Line:
    """The line of one host."""

    def __init__(self, tun):
        self.tun = tun
        self.keys = {"loss": 0.0, "delay": 0.0, "jitter": 0.0, "up": 0.0, "down": 0.0}

    def change(self, words):
        for word in words:
            key, value = word.split("=")
            self.keys[key] = float(value) if key in self.keys else sys.exit(f"no such key: {key}")

    def loses(self, chance, way):
        return chance.uniform(0, 100) < max(self.keys["loss"], self.keys[way])

    def lasts(self, chance):
        jitter = self.keys["jitter"]
        return max(0.0, self.keys["delay"] + chance.uniform(-jitter, jitter)) / 1000


def main():
    device, *hosts = sys.argv[1:]
    lines = {}
    for host in hosts:
        namespace, address = host.split("=")
        lines[ipaddress.ip_address(address).packed] = Line(open_tun(device, namespace, address))
    by_tun = {line.tun: line for line in lines.values()}
    chance, under_way, count = random.Random(1), [], 0
    print("ready", flush=True)
    while True:
        wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for readable in select.select([0, *by_tun], [], [], wait)[0]:
            if readable == 0:
                words = sys.stdin.readline().split()
                if not words:
                    return
                lines[ipaddress.ip_address(words[0]).packed].change(words[1:])
                print("changed", flush=True)
                continue
            for _ in range(64):
                try:
                    packet = os.read(readable, 65536)
                except BlockingIOError:
                    break
                # IPv4 only: what the kernel says by itself in IPv6 is nobody's.
                here, there = by_tun[readable], lines.get(packet[16:20]) if packet[0] >> 4 == 4 else None
                if there is None or len(under_way) >= UNDER_WAY:
                    continue
                if here.loses(chance, "up") or there.loses(chance, "down"):
                    continue
                count += 1
                due = time.monotonic() + here.lasts(chance) + there.lasts(chance)
                heapq.heappush(under_way, (due, count, there.tun, packet))
        now = time.monotonic()
        while under_way and under_way[0][0] <= now:
            _, _, tun, packet = heapq.heappop(under_way)
            try:
                os.write(tun, packet)
            except OSError:
                pass  # The host is gone.


if __name__ == "__main__":
    main()
