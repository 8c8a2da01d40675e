"""Does the extrapolation of `descend advise --processes` hold where messages cross a slow link?

Network namespaces stand for hosts: each has an interface of its own, whose bandwidth and delay are
limited, on one switch. The link is measured between two of them, as `advise` measures it, and one
process measures updates by itself; from both follows how long updates should take in more hosts.
That is compared with what they take, turn by turn. One host and two are measured while the other
hosts do the same work among themselves, since all share the cores of this machine. Needs Linux,
root, and `ip` and `tc`. On a kernel without netem a program delays the frames.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.delayed_switch import LARGEST_FRAME, forward, open_port
from descend.training.processes.all_reduce import Link, all_reduce_cost, way_to_sum
from descend.tuning.advice.processes import extrapolated_seconds
from descend.types import Speed

NETWORK = (128, 64)
CLOSE = 1.2
"""A prediction within 20 % is wanted."""
PORT = 61440
SWITCH = "descend-switch"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def host(index: int) -> str:
    return f"descend-host-{index}"


def address(index: int) -> str:
    return f"10.77.0.{index + 1}"


@contextmanager
def hosts(count: int, mbit: float, delay: float) -> Iterator[bool]:
    """Namespaces on one switch; whether netem delays, by ms one way, and no program does."""
    names = [SWITCH, *map(host, range(count))]
    if delay and not has_netem():
        with hosts_of_program(count, mbit, delay):
            yield False
        return
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
            ip("-n", host(index), "addr", "add", f"{address(index)}/24", "dev", ends[0])
            ip("-n", host(index), "link", "set", ends[0], "up")
            rule = ["tc", "-n", host(index), "qdisc", "add", "dev", ends[0], "root"]
            rate = f"{mbit}mbit"
            shape = ["tbf", "rate", rate, "burst", "4kb", "latency", "400ms"]
            if delay:
                shape = ["netem", "delay", f"{delay}ms", "rate", rate, "limit", "10000"]
            subprocess.run([*rule, *shape], check=True)
        yield True
    finally:
        remove(names)


def remove(names: Sequence[str]) -> None:
    for name in names:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def has_netem() -> bool:
    """Whether this kernel can delay what a device sends."""
    try:
        ip("netns", "add", SWITCH)
        ip("-n", SWITCH, "link", "set", "lo", "up")
        rule = ["tc", "-n", SWITCH, "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
        return not subprocess.run(rule, check=False, capture_output=True).returncode
    finally:
        remove([SWITCH])


@contextmanager
def hosts_of_program(count: int, mbit: float, delay: float) -> Iterator[None]:
    """The same namespaces, on a switch that is a program."""
    names = [*map(host, range(count))]
    switch, ports = None, []
    try:
        for index, name in enumerate(names):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
            device = f"host{index}"
            ports.append(open_port(device))
            ip("link", "set", device, "netns", name)
            ip("-n", name, "link", "set", device, "mtu", str(LARGEST_FRAME))
            ip("-n", name, "addr", "add", f"{address(index)}/24", "dev", device)
            ip("-n", name, "link", "set", device, "up")
        switch = multiprocessing.get_context("fork").Process(
            target=forward, args=(ports, mbit, delay), daemon=True
        )
        switch.start()
        yield
    finally:
        if switch is not None:
            switch.terminate()
            switch.join()
        for port in ports:
            os.close(port)
        remove(names)


def jobs(groups: Sequence[Sequence[int]], sizes: Sequence[int]) -> list[dict[str, float]]:
    """Seconds per update in jobs that run at the same time.

    Args:
        groups: the hosts of each job.
        sizes: batch sizes.
    """
    program = [sys.executable, "-m", "descend", "run", str(Path(__file__).parent / "processes.py")]
    with tempfile.TemporaryDirectory() as folder:
        started, outs = [], []
        for group in groups:
            outs.append(Path(folder) / f"{group[0]}.json")
            asked = ["--", "exact", json.dumps(NETWORK), json.dumps(list(sizes)), str(outs[-1])]
            for index, number in enumerate(group):
                environment = dict(os.environ)
                if len(group) > 1:
                    environment |= {
                        "DESCEND_COORDINATOR": f"{address(group[0])}:{PORT}",
                        "DESCEND_PROCESSES": str(len(group)),
                        "DESCEND_PROCESS": str(index),
                        "DESCEND_INTERFACE": address(number),
                    }
                core = str(number % (os.cpu_count() or 1))
                inside = ["ip", "netns", "exec", host(number), "taskset", "-c", core]
                whole = [*inside, *program, *asked]
                started.append(subprocess.Popen(whole, env=environment, stdout=subprocess.DEVNULL))
        statuses = [one.wait() for one in started]
        if any(statuses):
            raise RuntimeError("a process failed")
        return [json.loads(out.read_text()) for out in outs]


def turn(count: int, sizes: Sequence[int]) -> dict[str, Any]:
    """What updates take on so many hosts, and what follows from one host and from two.

    One host and two are measured while the others do the same, since all share this machine.
    """
    everyone = list(range(count))
    shares = sorted({-(-size // count) for size in sizes} | set(sizes))
    alone = jobs([[one] for one in everyone], shares)[0]
    pairs = jobs([everyone[at : at + 2] for at in range(0, count, 2)], sizes)[0]
    all_hosts = pairs if count == 2 else jobs([everyone], sizes)[0]
    size = int(pairs["bytes"])
    link = Link(*pairs["link"])
    speed = Speed(tuple(shares), tuple(alone[f"{one}/1"] for one in shares), ())
    lines = {
        batch: {
            "alone": alone[f"{batch}/1"],
            "took": all_hosts[f"{batch}/1"],
            "predicted": extrapolated_seconds(speed, link, count, batch, size),
        }
        for batch in sizes
    }
    predicted = link.seconds(all_reduce_cost(count, size, link))
    message = {"took": all_hosts["much"], "predicted": predicted}
    way = way_to_sum(count, size, link).value
    return {"lines": lines, "link": link._asdict(), "way": way, "bytes": size, "message": message}


def report(found: dict[int, list[dict[str, Any]]], place: str) -> str:
    """The table of all turns so far."""
    rows, outside = [], 0
    for count, turns in found.items():
        for batch in turns[0]["lines"]:
            lines = [one["lines"][batch] for one in turns]
            off = measure.ratio([one["took"] for one in lines], [one["predicted"] for one in lines])
            outside += not 1 / CLOSE <= off.median <= CLOSE
            took, expected, alone = (
                statistics.median(one[kind] for one in lines)
                for kind in ("took", "predicted", "alone")
            )
            rows.append(
                (
                    *(count, batch, f"{took * 1e3:.2f}", f"{expected * 1e3:.2f}"),
                    *(f"{alone / (count * one):.1%}" for one in (took, expected)),
                    off,
                )
            )
        messages = [one["message"] for one in turns]
        off = measure.ratio([m["took"] for m in messages], [m["predicted"] for m in messages])
        way = ", ".join(dict.fromkeys(one["way"] for one in turns))
        rows.append((count, f"sum alone: {way}", "", "", "", "", off))
    turns = [one for several in found.values() for one in several]
    latency = statistics.median(one["link"]["latency"] for one in turns)
    bandwidth = statistics.median(one["link"]["bandwidth"] for one in turns)
    heads = ("hosts", "batch", "ms/update", "predicted", "efficiency", "predicted efficiency")
    return (
        f"{place} Measured between two: {latency * 1e3:.2f} ms, {bandwidth * 8e-6:.1f} Mbit/s; a "
        f"gradient has {turns[0]['bytes'] / 1e3:.0f} kB. Wanted is a prediction within 20 %: "
        f"missed in {outside} of {sum(isinstance(batch, int) for _, batch, *_ in rows)}.\n\n"
        f"{measure.table((*heads, 'measured / predicted'), rows)}"
    )


def main(arguments: list[str]) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mbit", type=float, default=100.0)
    parser.add_argument("--delay", type=float, default=1.0, help="Milliseconds, one way.")
    parser.add_argument("--counts", default="2,4", help="Even numbers.")
    parser.add_argument("--sizes", default="128,512,2048")
    parser.add_argument("--turns", type=int, default=5, help="At most.")
    parser.add_argument("--minutes", type=float, default=7.0, help="Within which turns begin.")
    parser.add_argument("--no-save", action="store_true")
    asked = parser.parse_args(arguments)
    counts = [int(count) for count in asked.counts.split(",")]
    sizes = [int(size) for size in asked.sizes.split(",")]
    began = time.monotonic()
    found: dict[int, list[dict[str, Any]]] = {count: [] for count in counts}
    with hosts(max(counts), asked.mbit, asked.delay) as delayed:
        delay = f" and {asked.delay} ms one way" if asked.delay else ", without delay"
        delay += "" if delayed else " (by a program, for want of netem)"
        for number in measure.turns_within(asked.minutes, asked.turns):
            for count in counts:
                found[count].append(turn(count, sizes))
                print(f"{count} hosts: {time.monotonic() - began:.0f} s", flush=True)
            # Kept after every turn: nothing is lost if the next one does not end.
            text = report(found, f"{number + 1} turns. Links of {asked.mbit} Mbit/s{delay}.")
            measure.record("shaped_link", text, {"turns": found}, save=not asked.no_save)
    return 0
