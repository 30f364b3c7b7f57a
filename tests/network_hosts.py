"""Hosts on one machine, connected by a switch of a given bandwidth and delay: Linux, as root.

Each host is a network namespace with one interface (TAP). What it sends arrives at the switch, a process of this file:

    host 1  --- port ---+           a frame leaves a host's port when the frames before it have left: bytes / bandwidth
    host 2  --- port ---+  switch   it travels for `delay` seconds,
    host 3  --- port ---+           and waits again at the port of the host to which it goes: full duplex, no losses

    with hosts(4, bandwidth=25e6, delay=1e-3) as names: ...   # bytes a second, seconds
    `ip netns exec NAME command` runs a command on a host; host i has the address ADDRESS.format(i), from 1

The kernel's own queues (tc) can limit the bandwidth, but not every kernel can delay frames (netem).
"""

import contextlib
import fcntl
import heapq
import os
import select
import shutil
import struct
import subprocess
import sys
import time

ADDRESS = "10.77.0.{}"
MTU = 9000  # bytes of a frame; fewer frames cost the switch less
_TUNSETIFF, _TAP, _NO_INFO = 0x400454CA, 0x0002, 0x1000
_FRAME, _AHEAD = 65536, 2 * MTU  # bytes: read at a time; taken from a host before its port is free


def why_not():
    """The reason why this machine cannot have such hosts, or None"""
    if not sys.platform.startswith("linux"):
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the program `ip` (iproute2)"
    if not os.path.exists("/dev/net/tun"):
        return "interfaces of hosts need /dev/net/tun"
    probe = f"mm{os.getpid()}probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace could be made: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", probe], check=True)
    return None


def _ip(*words):
    subprocess.run(["ip", *words], check=True)


def _tap(name):
    """A new interface -> what reads and writes its frames"""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH14x", name.encode(), _TAP | _NO_INFO))
    return descriptor


def _connect(host, number, name):
    """Give the host's namespace an interface -> its descriptor, which the switch reads"""
    descriptor = _tap(name)
    _ip("link", "set", name, "netns", host)
    _ip("-n", host, "link", "set", "lo", "up")
    _ip("-n", host, "link", "set", name, "address", f"02:00:00:00:00:{number:02x}", "mtu", str(MTU), "up")
    _ip("-n", host, "addr", "add", ADDRESS.format(number) + "/24", "dev", name)
    # After a pause, a connection would begin again with a few packets at a time; the next step's should not.
    command = "echo 0 > /proc/sys/net/ipv4/tcp_slow_start_after_idle"
    subprocess.run(["ip", "netns", "exec", host, "sh", "-c", command], check=False)
    return descriptor


class _Switch:
    """Frames in flight, ordered by the time at which they next move."""

    def __init__(self, ports, bandwidth, delay):
        """ports: descriptors, by host"""
        self.ports, self.bandwidth, self.delay = ports, bandwidth, delay
        self.free = {"out": [0.0] * len(ports), "in": [0.0] * len(ports)}  # when each port has nothing to send
        self.flying, self.count = [], 0

    def _queue(self, way, port, frame, earliest):
        """-> when the frame has left the port"""
        end = max(self.free[way][port], earliest) + len(frame) / self.bandwidth
        self.free[way][port] = end
        return end

    def _receive(self, source, frame, now):
        if frame[0] & 1:  # to all
            targets = [port for port in range(len(self.ports)) if port != source]
        else:
            targets = [frame[5] - 1]
        left = self._queue("out", source, frame, now)
        for target in targets:
            if 0 <= target < len(self.ports):
                # The first byte arrives at the other port while the last one leaves this one.
                earliest = left + self.delay - len(frame) / self.bandwidth
                self.count += 1
                heapq.heappush(self.flying, (self._queue("in", target, frame, earliest), self.count, target, frame))

    def _deliver(self, now):
        while self.flying and self.flying[0][0] <= now:
            _, _, target, frame = heapq.heappop(self.flying)
            with contextlib.suppress(OSError):  # the host does not listen yet
                os.write(self.ports[target], frame)

    def run(self):
        port_of = {descriptor: port for port, descriptor in enumerate(self.ports)}
        while True:
            now = time.perf_counter()
            self._deliver(now)
            # A host keeps what its port cannot send yet: otherwise its acknowledgements would wait behind its data.
            soon = now + _AHEAD / self.bandwidth
            open_ports = [descriptor for descriptor, port in port_of.items() if self.free["out"][port] <= soon]
            next_times = [free - _AHEAD / self.bandwidth for free in self.free["out"] if free > soon]
            next_times += [self.flying[0][0]] if self.flying else []
            wait = max(0.0, min(next_times) - now) if next_times else 1.0
            for descriptor in select.select(open_ports, [], [], wait)[0]:
                with contextlib.suppress(BlockingIOError):
                    self._receive(port_of[descriptor], os.read(descriptor, _FRAME), time.perf_counter())


def _serve(prefix, count, bandwidth, delay):
    """The process of the switch: makes the interfaces, says so, and moves frames until it is killed."""
    ports = [_connect(f"{prefix}h{number}", number, f"{prefix}e{number}") for number in range(1, count + 1)]
    with contextlib.suppress(OSError):  # frames are few and late frames wrong: before every program that computes
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    print("ready", flush=True)
    _Switch(ports, bandwidth, delay).run()


@contextlib.contextmanager
def hosts(count, bandwidth, delay):
    """`with hosts(...) as names:` the names of the namespaces; all are removed at the end"""
    prefix = f"mm{os.getpid() % 10000}"
    names = [f"{prefix}h{number}" for number in range(1, count + 1)]
    switch = None
    try:
        for name in names:
            _ip("netns", "add", name)
        words = [sys.executable, __file__, prefix, str(count), str(bandwidth), str(delay)]
        switch = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        if switch.stdout.readline() != "ready\n":
            raise OSError("the switch could not make its interfaces")
        yield names
    finally:
        if switch:
            switch.kill()
            switch.wait()
            switch.stdout.close()
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
