"""What a message between the processes of a job costs: measured once, when they have joined."""

from __future__ import annotations

import math
import platform
import time
import zlib

import jax
import numpy as np

from descend.training.all_reduce import Link, Way, all_reduce, link_of, sum_in
from descend.training.parallel import (
    AXIS,
    from_all,
    from_first,
    over_processes,
    replicate,
    this_link,
    this_place,
    use_link,
)
from descend.types import Array

PROBE = 64 << 10
"""Numbers in the sum that bandwidth is measured with."""
SECONDS = 0.01
"""Seconds that a repeat takes, about; at least one sum."""
REPEATS = 5


def measure_link(interface: str | None) -> None:
    """Measure the link, and sum from now on in the way that suits it; every process calls this.

    Nothing is measured on one host, where the usual way is right: what its processes find there
    tells more of the other work on it, and should not decide about the last bits of a run.

    Args:
        interface: the address at which this process listens, if one was given.
    """
    if this_place().count == 1 or jax.default_backend() != "cpu":
        return
    host = zlib.crc32((interface or platform.node()).encode())
    if len(np.unique(from_all(np.array([host], np.int64)))) > 1:
        use_link(measured_link())


def measured_link() -> Link:
    """What a message costs between the processes, of which there are several; all call this.

    What process 0 measured counts in all, since all have to sum in the same way.
    """
    little, much = seconds_of_sum(1), seconds_of_sum(PROBE, Way.RING)
    found = link_of(this_place().count, little, much, 4 * PROBE)
    return Link(*from_first(np.array(found)).tolist())


def seconds_of_sum(floats: int, way: Way | None = None) -> float:
    """Seconds of an all-reduce of `floats` numbers; every process calls this.

    The fastest repeat counts, since other work on the machine only makes them longer.

    Args:
        floats: how many numbers.
        way: in which they are summed; None: as in training.
    """

    def summed(values: Array) -> Array:
        if way is None:
            return all_reduce(values, AXIS, this_link())
        return sum_in(way, values, AXIS)

    def several(values: Array, times: Array) -> Array:
        repeated: Array = jax.lax.fori_loop(0, times, lambda _, so_far: summed(so_far), values)
        return repeated

    program = jax.jit(over_processes(several, (False, False)))
    values = replicate(np.zeros(floats, np.float32))

    def took(times: int) -> float:
        number = replicate(np.int32(times))
        started = time.perf_counter()
        jax.block_until_ready(program(values, number))
        return (time.perf_counter() - started) / times

    took(1)  # Compiles.
    wanted = np.array([math.ceil(SECONDS / max(1e-9, took(1)))], np.int64)
    times = int(from_first(wanted)[0])
    return min(took(times) for _ in range(REPEATS))
