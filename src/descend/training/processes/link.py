"""What a message between the processes of a job costs: measured once, when they have joined."""

from __future__ import annotations

import functools
import math
import platform
import time
import zlib
from collections.abc import Callable, Sequence

import jax
import numpy as np

from descend.training.processes.all_reduce import Link, Way, all_reduce, link_of, sum_in
from descend.training.processes.messages import from_all, from_first
from descend.training.processes.place import this_link, this_place, use_link
from descend.training.processes.slices import AXIS, over_processes, replicate
from descend.types import Array

Typical = Callable[[Sequence[float]], float]
"""One number for several seconds, such as the least or the median."""

PROBE = 64 << 10
"""Numbers in the sum that bandwidth is measured with."""
SECONDS = 0.01
"""Seconds that a repeat takes, about; at least one sum."""
REPEATS = 5
LINK_SECONDS, MOST_ROUNDS = 1.0, 25
"""The link is measured for about so long, in `REPEATS` to `MOST_ROUNDS` rounds."""


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


def measured_link(typical: Typical = min) -> Link:
    """What a message costs between the processes, of which there are several; all call this.

    The small and the large sum take turns, so that other work, which lasts longer than one of
    them, does not make one seem slow beside the other. What process 0 measured counts in all,
    since all have to sum in the same way.

    Args:
        typical: which of the repeats counts. The least is what the link itself costs, which other
            work hardly changes, so it decides how to sum; a prediction needs what is usual.
    """
    timed = [_timed_sum(1), _timed_sum(PROBE, Way.RING)]
    sums = [functools.partial(took, _times_of_repeat(took)) for took in timed]
    started = time.perf_counter()
    in_turns(sums, 1)
    rounds = _agreed(LINK_SECONDS / max(1e-9, time.perf_counter() - started))
    little, much = in_turns(sums, min(max(rounds, REPEATS), MOST_ROUNDS), typical)
    found = link_of(this_place().count, little, much, 4 * PROBE)
    return Link(*from_first(np.array(found)).tolist())


def lower_quartile(values: Sequence[float]) -> float:
    """What is usual while other work on the machine holds up less than three quarters of it."""
    return float(np.quantile(values, 0.25))


def in_turns(
    sums: Sequence[Callable[[], float]], rounds: int, typical: Typical = min
) -> list[float]:
    """The seconds of each of several measurements, which take turns.

    Args:
        sums: each measures once.
        rounds: how often all of them do.
        typical: which of the rounds counts.
    """
    found = [[one() for one in sums] for _ in range(rounds)]
    return [typical(each) for each in zip(*found, strict=True)]


def seconds_of_sum(floats: int, typical: Typical = min) -> float:
    """Seconds of an all-reduce of `floats` numbers; every process calls this.

    Args:
        floats: how many numbers.
        typical: which of the repeats counts: the least, unless something else is asked for.
    """
    took = _timed_sum(floats)
    return in_turns([functools.partial(took, _times_of_repeat(took))], REPEATS, typical)[0]


def _timed_sum(floats: int, way: Way | None = None) -> Callable[[int], float]:
    """`times -> seconds` of a sum that is repeated so often, as a compiled program."""

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
    return took


def _times_of_repeat(took: Callable[[int], float]) -> int:
    """How many sums fill a repeat, the same number in every process."""
    return _agreed(SECONDS / max(1e-9, took(1)))


def _agreed(number: float) -> int:
    """A number that process 0 found, rounded up, at least 1."""
    return max(1, int(from_first(np.array([math.ceil(number)], np.int64))[0]))
