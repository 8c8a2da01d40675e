"""A switch between network namespaces whose links have a bandwidth and a delay, as a program.

For kernels without netem. Each port is a TAP device; a frame leaves when the frames before it have
passed at the given bandwidth, and arrives after the delay. It uses some of a core itself: a frame
of 9,000 bytes costs about 50 µs.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import select
import struct
import time
from collections.abc import Mapping, Sequence

LARGEST_FRAME = 9000
_SET, _TAP, _NO_HEADER = 0x400454CA, 0x0002, 0x1000


def open_port(name: str) -> int:
    """A TAP device of this name, and the file that its frames pass through."""
    port = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(port, _SET, struct.pack("16sH22x", name.encode(), _TAP | _NO_HEADER))
    return port


def forward(ports: Sequence[int], mbit: float, delay: float) -> None:
    """Carry frames between the ports until this process is ended.

    Args:
        ports: from `open_port`, one of each host.
        mbit: bandwidth of each link to the switch, in Mbit/s.
        delay: of a frame on its way from one host to another, in ms.
    """
    _come_first()
    known: dict[bytes, int] = {}
    free = dict.fromkeys(ports, 0.0)
    waiting: list[tuple[float, int, int, bytes]] = []
    number = 0
    while True:
        wait = max(0.0, waiting[0][0] - time.perf_counter()) if waiting else None
        for port in select.select(ports, [], [], wait)[0]:
            try:
                frame = os.read(port, LARGEST_FRAME + 64)
            except BlockingIOError:
                continue
            known[frame[6:12]] = port
            passed = max(time.perf_counter(), free[port]) + len(frame) * 8e-6 / mbit
            free[port] = passed
            for one in _destinations(frame, port, ports, known):
                number += 1
                heapq.heappush(waiting, (passed + delay * 1e-3, number, one, frame))
        while waiting and waiting[0][0] <= time.perf_counter():
            _, _, port, frame = heapq.heappop(waiting)
            os.write(port, frame)


def _come_first() -> None:
    """Do not wait for a core behind the hosts, which a switch made of metal does not do either."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_max(1)))
    except PermissionError:
        print("The switch is not allowed real-time priority: links may seem slower.", flush=True)


def _destinations(
    frame: bytes, came: int, ports: Sequence[int], known: Mapping[bytes, int]
) -> list[int]:
    """The port of the host that a frame is for; all others where that is not known."""
    port = known.get(frame[:6])
    return [one for one in ports if one != came] if port is None else [port]
