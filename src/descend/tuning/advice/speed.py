"""What an update costs on this machine: seconds and memory for each batch size."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import jax
import numpy as np

from descend.data.rows.batches import Chunk, chunks
from descend.training.device_feed import feed
from descend.training.problem import Problem
from descend.training.step import copied, make_gradient
from descend.types import Speed, TrainState

REPEATS = 5
SECONDS = 0.02
REPEATS_ALONE = 2
"""A repeat takes at least as long, so that the clock and a waking thread do not matter."""
COUNTED_ROWS = 64
CHUNKS_HELD = 4
"""A chunk in use, two waiting, one being read."""
FILL = 0.05
"""Once an update's rows cost so little less than at half the size, larger batches gain nothing."""

Clock = Callable[[], float]


def candidate_sizes(rows: int) -> tuple[int, ...]:
    """1, then from 8 on by factors of 4 up to the rows, and where these are few, all of them.

    Neighbours by a factor of 4 differ little near the best (1.0 to 1.9 times the time): finer
    steps are for later.

    >>> candidate_sizes(450)
    (1, 8, 32, 128, 450)
    """
    sizes = [1, *(2 * 4**power for power in range(1, 32) if 2 * 4**power <= rows)]
    if rows < 4096 and rows >= 1.5 * sizes[-1]:
        sizes.append(rows)
    return tuple(sizes)


def memory_limit() -> int:
    """Half of the machine's memory that is free now; 1 GiB where the system does not tell."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return 1 << 30


class Footprint:
    """Bytes that training holds: chunks, weights, gradients, layer outputs.

    Layer outputs are counted as every value that the gradient of a piece computes, which is an
    upper bound: the compiler reuses some of them. They are counted for two sizes; between and
    beyond, bytes are a straight line in the rows.
    """

    def __init__(self, problem: Problem, state: TrainState) -> None:
        self._problem = problem
        self._fixed = 4 * _bytes(state.params) + 2 * _bytes(state.opt_state)
        gradient = make_gradient(problem.objective)
        row = problem.store.gather(np.zeros(1, np.int64))

        def counted(rows: int) -> int:
            piece = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), leaf.dtype), row
            )
            return _computed(jax.make_jaxpr(gradient)(state.params, piece).jaxpr)

        few, many = counted(COUNTED_ROWS), counted(2 * COUNTED_ROWS)
        self._per_row = (many - few) / COUNTED_ROWS
        self._values = few - self._per_row * COUNTED_ROWS

    def __call__(self, batch_size: int) -> int:
        """Bytes at a batch size."""
        plan = self._problem.plan(batch_size)
        chunk = plan.updates_per_chunk * plan.places * self._problem.store.row_bytes
        values = self._values + self._per_row * (plan.places // plan.microbatches)
        return int(CHUNKS_HELD * chunk + self._fixed + values)


def largest_fitting(footprint: Footprint, sizes: Sequence[int], memory: int) -> int:
    """The largest of the sizes that keeps within the memory; the smallest where none does."""
    return max((size for size in sizes if footprint(size) <= memory), default=min(sizes))


def compile_sizes(
    problem: Problem, state: TrainState, sizes: Iterable[int], threads: int = 2
) -> None:
    """Have the programs of several sizes ready; the compiler leaves other threads free."""

    def ready(size: int) -> None:
        plan = problem.plan(size)
        chunk = next(chunks(problem.store, plan))
        rates = np.zeros(plan.updates_per_chunk, np.float32)
        _, losses = problem.compiled(plan)(copied(state), chunk.batch, rates, 0, 0)
        jax.block_until_ready(losses)

    problem.compiled(problem.plan(1))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(ready, sizes))


class _TimedUpdates:
    """Updates of one size as training runs them, the next rows read ahead; learning rate 0."""

    def __init__(self, problem: Problem, state: TrainState, batch_size: int) -> None:
        plan = problem.plan(batch_size)
        self._run_chunk = problem.compiled(plan)
        self._rates = np.zeros(plan.updates_per_chunk, np.float32)
        self._state = copied(state)
        self._feed = feed(problem.store, plan)
        self._run(self._feed.take(), 0)

    def seconds(self, clock: Clock, least: float) -> float:
        """Seconds per update over whole chunks that take at least so long."""
        updates, begun = 0, clock()
        while True:
            chunk = self._feed.take()
            self._run(chunk, chunk.updates)
            updates += chunk.updates
            took = clock() - begun
            if took >= least:
                return took / updates

    def close(self) -> None:
        """End what reads ahead."""
        self._feed.close()

    def _run(self, chunk: Chunk, updates: int) -> None:
        self._state, losses = self._run_chunk(self._state, chunk.batch, self._rates, updates, 0)
        self._feed.look_ahead()
        jax.block_until_ready(losses)


def measure_speed(
    problem: Problem,
    state: TrainState,
    sizes: Sequence[int],
    *,
    footprint: Footprint | None = None,
    clock: Clock = time.perf_counter,
    repeats: int = REPEATS,
    seconds: float = SECONDS,
) -> Speed:
    """Seconds per update and memory at each size.

    The sizes take turns, so that a machine that is busy for a while is busy for all; of the turns
    the median counts. Compiling is left out. A size of which a chunk holds a single update
    has its turns alone, so that few large chunks are in memory.

    Args:
        problem: what is trained.
        state: weights to measure with; they stay as they are.
        sizes: rows per update.
        footprint: of the problem, where it is known already.
        clock: seconds, for tests.
        repeats: turns.
        seconds: a turn takes at least as long, and at least one chunk.
    """
    ordered = tuple(sorted(sizes))
    footprint = footprint or Footprint(problem, state)
    found: dict[int, list[float]] = {size: [] for size in ordered}
    with ExitStack() as stack:
        timed_sizes = {}
        for size in ordered:
            timed = _TimedUpdates(problem, state, size)
            if problem.plan(size).updates_per_chunk > 1:
                timed_sizes[size] = stack.enter_context(closing(timed))
            else:
                with closing(timed):
                    found[size] += [timed.seconds(clock, seconds) for _ in range(REPEATS_ALONE)]
        for _ in range(repeats):
            for size, timed in timed_sizes.items():
                found[size].append(timed.seconds(clock, seconds))
    return Speed(
        ordered,
        tuple(statistics.median(found[size]) for size in ordered),
        tuple(footprint(size) for size in ordered),
    )


def joined(one: Speed, other: Speed) -> Speed:
    """Two measurements as one; of a size that both have the other counts."""
    lines: dict[int, tuple[float, int]] = {}
    for each in (one, other):
        figures = zip(each.seconds_per_update, each.peak_memory, strict=True)
        lines.update(zip(each.batch_sizes, figures, strict=True))
    sizes = sorted(lines)
    seconds, memory = zip(*(lines[size] for size in sizes), strict=True)
    return Speed(tuple(sizes), tuple(seconds), tuple(memory))


def seconds_at(speed: Speed, batch_size: float) -> float:
    """Seconds per update at any size: straight lines between measured ones in log-log.

    Below the smallest an update costs as much as there, above the largest as much per row.
    """
    sizes, seconds = speed.batch_sizes, speed.seconds_per_update
    if batch_size >= sizes[-1]:
        return seconds[-1] * batch_size / sizes[-1]
    return math.exp(np.interp(math.log(batch_size), np.log(sizes), np.log(seconds)))


def saturated(speed: Speed) -> bool:
    """Whether the last two steps up in size made a row no cheaper (one may be a chance dip)."""
    per_row = [s / b for b, s in zip(speed.batch_sizes, speed.seconds_per_update, strict=True)]
    return len(per_row) > 2 and min(per_row[-2:]) > (1.0 - FILL) * min(per_row[:-2])


def _bytes(tree: Any) -> int:
    return sum(np.size(leaf) * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree))


def _computed(jaxpr: Any) -> int:
    """Bytes of all values that a program computes, inner programs included."""
    total = 0
    for equation in jaxpr.eqns:
        for value in equation.outvars:
            total += math.prod(value.aval.shape) * np.dtype(value.aval.dtype).itemsize
        for inner in equation.params.values():
            if hasattr(inner, "jaxpr"):
                total += _computed(inner.jaxpr)
    return total
