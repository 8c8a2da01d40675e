"""What messages between processes cost, and how often their weights should meet."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from contextlib import closing

import jax
import numpy as np

from descend.reporting.progress import Progress
from descend.settings import Settings
from descend.training.device_feed import feed
from descend.training.local_updates import MOST_BETWEEN
from descend.training.problem import Problem
from descend.training.processes.messages import from_first
from descend.training.processes.place import Place
from descend.training.processes.slices import replicate
from descend.training.state import copy_state
from descend.types import TrainState

REPEATS = 5
SECONDS = 0.05
"""Shortest repeat."""
MESSAGES_SHARE = 0.1
"""Most of the time that messages may take under `--sync-every auto`."""


def seconds_together(
    problem: Problem,
    state: TrainState,
    batch_size: int,
    place: Place,
    sync_every: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Seconds per update in all processes together, several times; every process calls this.

    Args:
        problem: what is trained.
        state: weights to measure with; unchanged.
        batch_size: rows of a whole batch.
        place: which process this is.
        sync_every: updates from one meeting of the weights to the next.
        clock: seconds, for tests.
    """
    config = problem.in_parallel(problem.loop_config(batch_size, 1.0), place, sync_every)
    rates = np.zeros(config.plan.updates_per_chunk, np.float32)
    state = copy_state(state)
    if place.count > 1:
        params, opt_state, mean = replicate((state.params, state.opt_state, state.mean))
        state = state._replace(params=params, opt_state=opt_state, mean=mean)
    with closing(feed(config.store, config.plan, place=place)) as chunks:

        def run() -> int:
            nonlocal state
            chunk = chunks.take()
            state, losses = config.run_chunk(state, chunk.batch, rates, chunk.updates, 0)
            chunks.look_ahead()
            jax.block_until_ready(losses)
            return chunk.updates

        def timed(calls: int) -> float:
            started = clock()
            updates = sum(run() for _ in range(calls))
            return (clock() - started) / updates

        run()  # Compiles.
        started = clock()
        run()
        calls = math.ceil(SECONDS / max(1e-9, clock() - started))
        if place.count > 1:
            (calls,) = from_first(np.array([calls], np.int64)).tolist()
        return [timed(int(calls)) for _ in range(REPEATS)]


def with_sync_every(
    problem: Problem, settings: Settings, place: Place, progress: Progress
) -> Settings:
    """The settings with a number for `--sync-every auto`; every process calls this.

    Of an update, c seconds are messages and t are not; averaging every H updates costs about c/H.
    The least power of two H counts with c/H ≤ `MESSAGES_SHARE` · t.

    Args:
        problem: what is trained.
        settings: with a number for the batch size.
        place: which process this is.
        progress: told what was measured.
    """
    if settings.sync_every != "auto":
        return settings
    if place.count == 1:
        return settings.replace(sync_every=1)
    assert isinstance(settings.batch_size, int)
    state = problem.begin().state
    found = [
        statistics.median(seconds_together(problem, state, settings.batch_size, place, every))
        for every in (1, MOST_BETWEEN)
    ]
    each, seldom = from_first(np.array(found)).tolist()
    every = updates_between_meetings(each, seldom)
    progress.message(
        f"An update takes {each * 1e6:,.0f} µs with its messages and {seldom * 1e6:,.0f} µs "
        f"without: weights are averaged every {every:,} updates."
        if every > 1
        else "Messages take little of an update: gradients are summed in every batch."
    )
    return settings.replace(sync_every=every)


def updates_between_meetings(each: float, seldom: float) -> int:
    """The number for `auto`, from seconds per update with a message in each and with hardly any.

    >>> updates_between_meetings(1.5e-3, 0.5e-3), updates_between_meetings(1.01e-3, 1e-3)
    (32, 1)
    """
    messages = max(0.0, each - seldom)
    needed = messages / (MESSAGES_SHARE * seldom)
    return 1 if needed <= 1 else min(MOST_BETWEEN, 1 << math.ceil(math.log2(needed)))
