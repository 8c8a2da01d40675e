"""The sum over all processes, in few messages or in few bytes, as the link wants it.

XLA sums on CPUs in a ring: 2(P - 1) steps one after the other, each of several messages. For the
gradient of a small network nearly all of the time is that of the messages, so there those that are
independent go at once: all-to-all exchanges, within pairs or among all processes, and sums of what
came. On a link that carries little while a message is under way the bytes count, of which a ring
has fewer. GPUs have NCCL, which chooses by itself.

Every process adds the same numbers in the same order, so all have the same sum to the last bit.
Adding to its own numbers what a process receives would not do that: XLA may compute its own ones
again within the sum, and round them differently (with a fused multiply-add).

Source: Thakur, Rabenseifner & Gropp 2005, "Optimization of collective communication operations in
MPICH", section 4.5.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from descend.types import Array

UNDER_WAY = 16 << 10
"""Bytes that a link usually carries at least while a message is under way (100 Mbit/s and 1 ms:
12 KB; 25 Gbit/s and 50 µs: 150 KB): what a message more costs, in bytes."""
AT_ONCE, DIRECTIONS = 10.0, 1.25
"""While the bytes of an exchange take at most `AT_ONCE` times the latency, those of both directions
usually pass at once: on average they take `DIRECTIONS` times as long as one direction. From twice
`AT_ONCE` on, one direction may wait for the other."""
CLEARLY = 1.5
"""How many times less another way must take by the measured link before the usual one is left.
The order of a sum decides about its last bit; so a link measured a little faster or slower tomorrow
must not change it."""


class Way(Enum):
    """How several processes sum."""

    DOUBLING = "exchanges between pairs, over 2, 4, 8 ... processes"
    PARTS = "each sums a part, and sends the sum to all"
    RING = "XLA's ring"


class Cost(NamedTuple):
    """What an all-reduce costs a process.

    Attributes:
        steps: messages that wait for each other.
        passed: bytes that pass one after the other. Of an exchange these may be those of both
            directions: XLA sends before it says that it is ready to receive, so the process that
            comes first waits until all of the other's bytes have come.
    """

    steps: int
    passed: float


class Link(NamedTuple):
    """What a message between two processes costs.

    Attributes:
        latency: seconds before its first byte.
        bandwidth: bytes per second.
    """

    latency: float
    bandwidth: float

    def seconds(self, cost: Cost) -> float:
        """Seconds of an all-reduce of this cost."""
        return cost.steps * self.latency + cost.passed / self.bandwidth


def costs(count: int, size: int, link: Link | None = None) -> dict[Way, Cost]:
    """Messages and bytes of the ways in which `count` processes can sum `size` bytes on CPUs.

    On a link that was measured, both directions of an exchange pass at once where its messages
    take long: then both processes have sent before they hear of each other.

    >>> costs(4, 80_000)[Way.DOUBLING], costs(4, 80_000)[Way.RING]
    (Cost(steps=2, passed=320000.0), Cost(steps=6, passed=120000.0))
    """
    in_ring = 2 * (count - 1) / count * size
    found = {Way.RING: Cost(2 * (count - 1), in_ring)}
    if count.bit_count() == 1:
        way, steps, sent = Way.DOUBLING, (count - 1).bit_length(), float(size)
    else:
        way, steps, sent = Way.PARTS, 2, in_ring / 2
    found[way] = Cost(steps, _directions(sent, link) * steps * sent)
    return found


def _directions(sent: float, link: Link | None) -> float:
    """How many times as long as its bytes in one direction an exchange takes."""
    if link is None or link.latency <= 0:
        return 2.0
    longer = sent / link.bandwidth / link.latency / AT_ONCE - 1
    return DIRECTIONS + (2 - DIRECTIONS) * min(max(longer, 0.0), 1.0)


def way_to_sum(count: int, size: int, link: Link | None = None) -> Way:
    """The way in which `count` processes sum `size` bytes on CPUs.

    Usually a ring is for large arrays. Where the link was measured, and another way clearly takes
    less time by it, that one is taken.

    >>> way_to_sum(2, 80_000).name, way_to_sum(2, 80_000, Link(1e-4, 12.5e6)).name
    ('DOUBLING', 'RING')
    """
    possible = costs(count, size, link)
    small = size <= max(8, count) * UNDER_WAY
    usual = next(way for way in possible if small == (way is not Way.RING))
    if link is None or count == 1:
        return usual
    best = min(possible, key=lambda way: link.seconds(possible[way]))
    clearly = CLEARLY * link.seconds(possible[best]) <= link.seconds(possible[usual])
    return best if clearly else usual


def all_reduce_cost(count: int, size: int, link: Link | None = None) -> Cost:
    """Messages and bytes of an all-reduce on CPUs, in the way that is taken.

    Args:
        count: of processes.
        size: of the array, in bytes.
        link: between them, if it was measured.

    >>> all_reduce_cost(2, 80_000), all_reduce_cost(4, 80_000)
    (Cost(steps=1, passed=160000.0), Cost(steps=2, passed=320000.0))
    >>> all_reduce_cost(4, 8_000_000)  # A ring.
    Cost(steps=6, passed=12000000.0)
    """
    return costs(count, size, link)[way_to_sum(count, size, link)]


def link_of(count: int, little: float, much: float, size: int) -> Link:
    """The link between processes, from the seconds of two sums.

    The large one is made in a ring, whose bytes pass in one direction: those of an exchange may
    pass one after the other or at once.

    Args:
        count: of processes.
        little: seconds of a sum of one number, as it is usually made.
        much: seconds of a ring of `size` bytes.
        size: in bytes.
    """
    ring = costs(count, size)[Way.RING]
    latency = little / all_reduce_cost(count, 4).steps
    return Link(latency, ring.passed / max(much - ring.steps * latency, much / 10))


def all_reduce(values: Array, axis: str, link: Link | None = None) -> Array:
    """The sum of the arrays `[n]` of all processes; called within `over_processes`.

    Args:
        values: of this process.
        axis: of the mesh, with one device of each process.
        link: between the processes, the same numbers in all of them; None: not measured.
    """
    import jax

    count, size = jax.lax.axis_size(axis), values.size * values.dtype.itemsize
    on_cpu = jax.default_backend() == "cpu"
    return sum_in(way_to_sum(count, size, link) if on_cpu else Way.RING, values, axis)


def sum_in(way: Way, values: Array, axis: str) -> Array:
    """The same, in one of the ways that `costs` lists for the number of processes."""
    import jax

    if way is Way.DOUBLING:
        return _by_doubling(values, axis, jax.lax.axis_size(axis))
    if way is Way.PARTS:
        return _in_two_steps(values, axis, jax.lax.axis_size(axis))
    total: Array = jax.lax.psum(values, axis)
    return total


def _by_doubling(values: Array, axis: str, count: int) -> Array:
    """Sums over 2, 4, 8 ... processes, from an exchange between two of half as many each."""
    import jax
    import jax.numpy as jnp

    distance = 1
    while distance < count:
        pairs = [[one, one + distance] for one in range(count) if not one & distance]
        both = jnp.broadcast_to(values, (2, *values.shape))
        both = jax.lax.all_to_all(both, axis, 0, 0, axis_index_groups=pairs)
        values = both[0] + both[1]
        distance *= 2
    return values


def _in_two_steps(values: Array, axis: str, count: int) -> Array:
    """Each process sums a part of the array, and all send each other their sums."""
    import jax
    import jax.numpy as jnp

    parts = jnp.pad(values, (0, -values.size % count)).reshape(count, -1)
    own = jax.lax.all_to_all(parts, axis, 0, 0).sum(axis=0)
    sums = jax.lax.all_to_all(jnp.broadcast_to(own, parts.shape), axis, 0, 0)
    return sums.reshape(-1)[: values.size]
