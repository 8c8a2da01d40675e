"""Does the extrapolation of `descend advise --processes` hold where messages cross a slow link?

Network namespaces stand for hosts: each has an interface of its own, whose bandwidth and delay are
limited, on one switch. The link is measured between two of them, as `advise` measures it, and one
process measures updates by itself; from both follows how long updates should take in more hosts.
That is compared with what they take. Needs Linux, root, and `ip` and `tc`; a kernel without netem
limits bandwidth alone. All hosts share the cores of this machine, so each process gets half a core
from four on: the gradients are small and the link is slow enough for messages to dominate.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PORT = 61440
SWITCH = "descend-switch"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def host(index: int) -> str:
    return f"descend-host-{index}"


@contextmanager
def hosts(count: int, mbit: float, delay: float) -> Iterator[bool]:
    """Namespaces on one switch; whether their delay could be set, in ms one way."""
    names = [SWITCH, *map(host, range(count))]
    delayed = delay > 0
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", SWITCH, "link", "add", "switch", "type", "bridge")
        ip("-n", SWITCH, "link", "set", "switch", "up")
        for index in range(count):
            ends = (f"host{index}", f"port{index}")
            ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
            ip("link", "set", ends[0], "netns", host(index))
            ip("link", "set", ends[1], "netns", SWITCH)
            ip("-n", SWITCH, "link", "set", ends[1], "master", "switch", "up")
            ip("-n", host(index), "addr", "add", f"10.77.0.{index + 1}/24", "dev", ends[0])
            ip("-n", host(index), "link", "set", ends[0], "up")
            rule = ["tc", "-n", host(index), "qdisc", "add", "dev", ends[0], "root"]
            rate = f"{mbit}mbit"
            netem = [*rule, "netem", "delay", f"{delay}ms", "rate", rate, "limit", "10000"]
            if delayed and subprocess.run(netem, check=False, capture_output=True).returncode:
                delayed = False
            if not delayed:
                shape = ["tbf", "rate", rate, "burst", "16kb", "latency", "400ms"]
                subprocess.run([*rule, *shape], check=True)
        yield delayed
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def job(count: int, hidden: Sequence[int], sizes: Sequence[int]) -> dict[str, float]:
    """Seconds per update of one process on each of so many hosts."""
    program = [sys.executable, "-m", "descend", "run", str(Path(__file__).parent / "processes.py")]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        asked = ["--", "ours", json.dumps(list(hidden)), json.dumps(list(sizes)), str(out)]
        started = []
        for index in range(count):
            environment = dict(os.environ)
            if count > 1:
                environment |= {
                    "DESCEND_COORDINATOR": f"10.77.0.1:{PORT}",
                    "DESCEND_PROCESSES": str(count),
                    "DESCEND_PROCESS": str(index),
                    "DESCEND_INTERFACE": f"10.77.0.{index + 1}",
                }
            core = str(index % (os.cpu_count() or 1))
            inside = ["ip", "netns", "exec", host(index), "taskset", "-c", core]
            started.append(subprocess.Popen([*inside, *program, *asked], env=environment))
        statuses = [one.wait() for one in started]
        if any(statuses):
            raise RuntimeError("a process failed")
        found: dict[str, float] = json.loads(out.read_text())
        return found


def main(arguments: list[str]) -> int:
    """Measure and report."""
    from descend.tuning.advice.processes import extrapolated_seconds, link_of
    from descend.types import Speed

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mbit", type=float, default=20.0)
    parser.add_argument("--delay", type=float, default=1.0, help="Milliseconds, one way.")
    parser.add_argument("--counts", default="2,4")
    parser.add_argument("--sizes", default="128,512,2048")
    asked = parser.parse_args(arguments)
    counts = [int(count) for count in asked.counts.split(",")]
    sizes = [int(size) for size in asked.sizes.split(",")]
    shares = sorted({-(-size // count) for size in sizes for count in counts})
    with hosts(max(counts), asked.mbit, asked.delay) as delayed:
        alone = job(1, (128, 64), sorted({*sizes, *shares}))
        of_one = sorted({*sizes, *shares})
        speed = Speed(tuple(of_one), tuple(alone[f"{size}/1"] for size in of_one), ())
        two = job(2, (128, 64), sizes)
        size = int(two["bytes"])
        link = link_of(two["little"], two["much"], size)
        delay = f", {asked.delay} ms" if delayed else "; no delay, for want of netem"
        print(
            f"{asked.mbit} Mbit/s{delay}. Measured: {link.latency * 1e3:.2f} ms, "
            f"{link.bandwidth * 8e-6:.1f} Mbit/s; a gradient has {size / 1e3:.0f} kB."
        )
        print("hosts  batch  ms/update  predicted  efficiency  predicted  measured/predicted")
        for count in counts:
            found = two if count == 2 else job(count, (128, 64), sizes)
            for batch in sizes:
                took, one = found[f"{batch}/1"], alone[f"{batch}/1"]
                expected = extrapolated_seconds(speed, link, count, batch, size)
                efficiencies = (one / (count * seconds) for seconds in (took, expected))
                here, there = efficiencies
                print(
                    f"{count:5}  {batch:5}  {took * 1e3:9.2f}  {expected * 1e3:9.2f}  "
                    f"{here:10.1%}  {there:9.1%}  {took / expected:18.2f}",
                    flush=True,
                )
    return 0
