"""Measure what an update costs on this machine: seconds and memory for each batch size."""

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

from descend.training.device_feed import chunk_source, device_memory, feed
from descend.training.jax_setup import in_this_context
from descend.training.problem import Problem
from descend.training.resident_loop import block_length
from descend.training.state import copy_state
from descend.tuning.advice.trials import CONCURRENT_TRIALS, VALIDATION_ROWS, TrialRunner
from descend.types import Speed, TrainState

REPEATS = 5
"""Timed repeats per batch size; the faster quarter of them counts."""
QUICK_REPEATS = 3
"""Timed repeats per batch size where training is short."""
FEWEST = 2
"""Timed repeats that are made however long they take: the first one alone may be disturbed."""
SECONDS = 0.02
"""Shortest repeat, so that the resolution of the clock and waking threads do not matter."""
REPEATS_ALONE = 2
"""Repeats of batch sizes so large that a chunk holds one update."""
CHUNKS_HELD = 4
"""Chunks in memory: one in use, two ready, one being read."""
ROW_COST = 6.0
"""A row in an update is taken to cost at most this many evaluations of its loss: one forward, two
backward, and as much again for gathering it, for the update rule, and as a margin."""
FIRST_UPDATES = 1
"""Updates in the first call that is timed. As long as a turn is too short each further call makes
twice as many, so that no turn of slow updates takes longer than one of them."""
SATURATED_WITHIN = 0.05
"""The device is saturated when a row in a larger batch is cheaper by less than this fraction."""

Clock = Callable[[], float]


def candidate_sizes(rows: int) -> tuple[int, ...]:
    """Batch sizes to consider: 1, 8, 32, 128, ... up to the rows, and all rows of a small table.

    Steps of 4 are fine enough at first: neighbours near the best differ by 1.0 to 1.9 times the
    time.

    >>> candidate_sizes(450)
    (1, 8, 32, 128, 450)
    """
    sizes = [1, *(2 * 4**power for power in range(1, 32) if 2 * 4**power <= rows)]
    if rows < 4096 and rows >= 1.5 * sizes[-1]:
        sizes.append(rows)
    return tuple(sizes)


def memory_limit() -> int:
    """Half of the memory in bytes that updates may use on the device that trains.

    On a CPU that is the free memory of this machine; 1 GiB if the system does not report it.
    """
    if on_device := device_memory():
        return on_device // 2
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return 1 << 30


class Footprint:
    """Estimated bytes of training at a batch size: chunks, weights, gradients, layer outputs.

    Layer outputs are counted as every value that the gradient of a microbatch computes
    (`training.footprint`).
    """

    def __init__(self, problem: Problem, state: TrainState) -> None:
        self._problem = problem
        weights, memory = _bytes(state.params), _bytes(state.opt_state)
        self._fixed = 4 * weights + 2 * memory
        self._values, self._per_row = problem.gradient_bytes
        self._own_bytes = self._values + 2 * (weights + memory)

    def __call__(self, batch_size: int) -> int:
        """Bytes at a batch size."""
        plan = self._problem.plan(batch_size)
        rows = 1 if plan.resident else plan.updates_per_chunk
        chunk = rows * plan.padded_rows * self._problem.store.row_bytes
        values = self._values + self._per_row * (plan.padded_rows // plan.microbatches)
        return int(CHUNKS_HELD * chunk + self._fixed + values)

    @property
    def own_rows(self) -> float:
        """The rows that take as many bytes as an update touches beside its rows.

        An update reads a row and computes values for each, and reads and writes the weights and
        the memory of the rule once. So its cost is about proportional to this number plus the rows.
        """
        return self._own_bytes / max(1.0, self._per_row + self._problem.store.row_bytes)


def largest_size_that_fits(footprint: Footprint, sizes: Sequence[int], memory: int) -> int:
    """The largest batch size that fits in the memory; the smallest if none does."""
    return max((size for size in sizes if footprint(size) <= memory), default=min(sizes))


def concurrent_trials(footprint: Footprint, sizes: Sequence[int], memory: int) -> int:
    """Trials of these batch sizes that run at once: one by one where two would not fit."""
    most = max(footprint(size) for size in sizes)
    return CONCURRENT_TRIALS if CONCURRENT_TRIALS * most <= memory else 1


def compile_sizes(
    problem: Problem, state: TrainState, sizes: Iterable[int], threads: int = 2
) -> None:
    """Compile the updates of several batch sizes, `threads` at a time."""

    def compile_size(size: int) -> None:
        plan = problem.plan(size)
        chunk = next(chunk_source(problem.store, plan))
        rates = np.zeros(plan.updates_per_chunk, np.float32)
        _, losses = problem.compiled(plan)(copy_state(state), chunk.batch, rates, 0, 0)
        jax.block_until_ready(losses)

    problem.compiled(problem.plan(1))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(in_this_context(compile_size), sizes))


class _TimedUpdates:
    """Updates of one batch size as training runs them, but at learning rate 0."""

    def __init__(self, problem: Problem, state: TrainState, batch_size: int) -> None:
        plan = problem.plan(batch_size)
        self._run_chunk = problem.compiled(plan)
        self._rates = np.zeros(plan.updates_per_chunk, np.float32)
        self._state = copy_state(state)
        self._feed = feed(problem.store, plan)
        # A chunk of a resident table may hold an interval of updates, which would take too long.
        # Its updates are made in blocks; a block cut short would take as long as a whole one.
        length = plan.updates_per_chunk
        self._most = block_length(length) if plan.resident else min(length, FIRST_UPDATES)
        self._chunk = self._feed.take()
        self._untimed = self._chunk.updates
        self._run(1)  # The first call takes longer: it is no turn.

    def seconds(self, clock: Clock, least: float) -> float:
        """Seconds per update, over as many calls as take `least` seconds.

        Reading a chunk counts once for all updates that it holds, as in training. As long as some
        of them were not timed, the next call begins with the first of them again.
        """
        updates, started = 0, clock()
        while True:
            if self._untimed <= 0:
                self._chunk = self._feed.take()
                self._untimed = self._chunk.updates
            count = min(self._chunk.updates, self._most)
            self._untimed -= count
            self._run(count)
            updates += count
            took = clock() - started
            # A batch that is divided into chunks is complete with the last of them.
            if updates and took >= least:
                return took / updates
            self._most *= 2

    def close(self) -> None:
        """Stop reading ahead."""
        self._feed.close()

    def _run(self, updates: int) -> None:
        self._state, losses = self._run_chunk(
            self._state, self._chunk.batch, self._rates, updates, 0
        )
        if self._untimed <= 0:
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
    enough: float = math.inf,
) -> Speed:
    """Measure seconds per update and memory at each batch size.

    The sizes take turns, so that a busy machine slows all of them. The fastest quarter of the turns
    counts, since other work on the machine only makes turns longer; the median where there are
    only two. Compilation is excluded. Sizes so large that a chunk holds a single update are timed
    one after the other, so that few large chunks are in memory.

    Args:
        problem: what is trained.
        state: weights to measure with; unchanged.
        sizes: rows per update.
        footprint: of the problem, if it is known already.
        clock: seconds, for tests.
        repeats: number of turns, at most.
        seconds: shortest turn; it is at least one chunk.
        enough: seconds after which no further turn begins; the first two always run.
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
                    while len(found[size]) < REPEATS_ALONE and sum(found[size]) < enough:
                        found[size].append(timed.seconds(clock, seconds))
        limited = math.isfinite(enough)
        started = clock() if limited else 0.0
        for number in range(repeats):
            if limited and number >= FEWEST and clock() - started >= enough:
                break
            for size, timed in timed_sizes.items():
                found[size].append(timed.seconds(clock, seconds))
    return Speed(
        ordered,
        tuple(_typical_seconds(found[size]) for size in ordered),
        tuple(footprint(size) for size in ordered),
        tuple(_spread(found[size]) for size in ordered),
    )


def seconds_per_row(runner: TrialRunner, clock: Clock = time.perf_counter) -> float:
    """At most about the seconds of a row in an update of thousands, without compiling one.

    From the time of evaluating the loss of the validation rows, whose program is compiled anyway.
    """
    params = runner.snapshot.params
    took = []
    for _ in range(QUICK_REPEATS):
        started = clock()
        runner.evaluate(params)
        took.append(clock() - started)
    return ROW_COST * statistics.median(took) / min(VALIDATION_ROWS, len(runner.problem.validation))


def _typical_seconds(turns: Sequence[float]) -> float:
    return (
        statistics.median(turns) if len(turns) < QUICK_REPEATS else sorted(turns)[len(turns) // 4]
    )


def _spread(turns: Sequence[float]) -> float:
    """Logarithm of the factor from the fastest turn to the median one."""
    return math.log(max(1.0, statistics.median(turns) / max(min(turns), 1e-12)))


def merge_speeds(old: Speed, new: Speed) -> Speed:
    """Two measurements as one, in the units of the old one.

    Batch sizes that both have say how much slower the machine was at the second measurement: its
    other seconds are divided by that, since what counts is how the costs of two sizes compare.
    """
    before = dict(zip(old.batch_sizes, old.seconds_per_update, strict=True))
    ratios = [
        seconds / before[size]
        for size, seconds in zip(new.batch_sizes, new.seconds_per_update, strict=True)
        if size in before
    ]
    slower = statistics.geometric_mean(ratios) if ratios else 1.0
    lines = {
        size: (seconds / slower, memory, spread_at(new, size))
        for size, seconds, memory in zip(
            new.batch_sizes, new.seconds_per_update, new.peak_memory, strict=True
        )
    }
    for size, seconds, memory in zip(
        old.batch_sizes, old.seconds_per_update, old.peak_memory, strict=True
    ):
        # Where the second measurement was more disturbed, so is what it says of the others.
        spread = max(spread_at(old, size), spread_at(new, size))
        lines[size] = seconds, memory, spread
    sizes = sorted(lines)
    seconds_of, memory_of, spread_of = zip(*(lines[size] for size in sizes), strict=True)
    known = old.spread or new.spread
    return Speed(tuple(sizes), seconds_of, memory_of, spread_of if known else ())


def spread_at(speed: Speed, batch_size: int) -> float:
    """How far the timed turns of a batch size lay apart; 0 where that is not known."""
    known = dict(zip(speed.batch_sizes, speed.spread, strict=False))
    return known.get(batch_size, 0.0)


def seconds_at(speed: Speed, batch_size: float) -> float:
    """Seconds per update at any batch size, interpolated linearly in log-log.

    Below the smallest measured size an update costs what it costs there; above the largest, a row
    costs what it costs there.
    """
    sizes, seconds = speed.batch_sizes, speed.seconds_per_update
    if batch_size >= sizes[-1]:
        return seconds[-1] * batch_size / sizes[-1]
    return math.exp(np.interp(math.log(batch_size), np.log(sizes), np.log(seconds)))


def is_saturated(speed: Speed) -> bool:
    """Whether a row became no cheaper over the last two steps up in batch size.

    Two steps, because one may be chance.
    """
    per_row = [s / b for b, s in zip(speed.batch_sizes, speed.seconds_per_update, strict=True)]
    return len(per_row) > 2 and min(per_row[-2:]) > (1.0 - SATURATED_WITHIN) * min(per_row[:-2])


def _bytes(tree: Any) -> int:
    return sum(np.size(leaf) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
