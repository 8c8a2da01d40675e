"""The sum over all processes, in few messages.

XLA sums on CPUs in a ring: 2(P - 1) steps one after the other, each of several messages. For the
gradient of a small network nearly all of the time is that of the messages, so here those that are
independent go at once: all-to-all exchanges, within pairs or among all processes, and sums of what
came. GPUs have NCCL, which chooses by itself.

Every process adds the same numbers in the same order, so all have the same sum to the last bit.
Adding to its own numbers what a process receives would not do that: XLA may compute its own ones
again within the sum, and round them differently (with a fused multiply-add).

Source: Thakur, Rabenseifner & Gropp 2005, "Optimization of collective communication operations in
MPICH", section 4.5.
"""

from __future__ import annotations

from typing import NamedTuple

from descend.types import Array

UNDER_WAY = 16 << 10
"""Bytes that a link carries at least while a message is under way (100 Mbit/s and 1 ms: 12 KB;
25 Gbit/s and 50 µs: 150 KB): what a message more costs, in bytes. It is fixed and not measured,
since the order of a sum decides about its last bit."""


class Cost(NamedTuple):
    """What an all-reduce costs a process.

    Attributes:
        steps: messages that wait for each other.
        passed: bytes that pass one after the other. Of an exchange these are those of both
            directions: XLA sends before it says that it is ready to receive, so the process that
            comes first waits until all of the other's bytes have come.
    """

    steps: int
    passed: float


def all_reduce_cost(count: int, size: int) -> Cost:
    """Messages and bytes of an all-reduce on CPUs.

    Args:
        count: of processes.
        size: of the array, in bytes.

    >>> all_reduce_cost(2, 80_000), all_reduce_cost(4, 80_000)
    (Cost(steps=1, passed=160000), Cost(steps=2, passed=320000))
    >>> all_reduce_cost(4, 8_000_000)  # A ring.
    Cost(steps=6, passed=12000000.0)
    """
    if _pairs_up(count, size):
        steps = (count - 1).bit_length()
        return Cost(steps, 2 * steps * size)
    in_ring = 2 * (count - 1) / count * size
    if _is_small(count, size):
        return Cost(2, 2 * in_ring)
    return Cost(2 * (count - 1), in_ring)


def all_reduce(values: Array, axis: str) -> Array:
    """The sum of the arrays `[n]` of all processes; called within `over_processes`.

    Args:
        values: of this process.
        axis: of the mesh, with one device of each process.
    """
    import jax

    count, size = jax.lax.axis_size(axis), values.size * values.dtype.itemsize
    if jax.default_backend() != "cpu":
        total: Array = jax.lax.psum(values, axis)
        return total
    if _pairs_up(count, size):
        return _by_doubling(values, axis, count)
    return (
        _in_two_steps(values, axis, count) if _is_small(count, size) else jax.lax.psum(values, axis)
    )


def _is_small(count: int, size: int) -> bool:
    """Whether the number of messages weighs more than their bytes."""
    return size <= max(8, count) * UNDER_WAY


def _pairs_up(count: int, size: int) -> bool:
    """Whether sums double from step to step."""
    return _is_small(count, size) and count.bit_count() == 1


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
