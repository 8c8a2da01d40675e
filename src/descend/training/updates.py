"""Apply chunks of rows to a training state: one path for the training loop and for short trials."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from descend.data.rows.batches import Chunk
from descend.training.accumulation import GradientSums
from descend.training.averaging import AveragingSchedule, averaging_schedule, no_averaging
from descend.training.chunk_loop import Rates
from descend.training.jax_setup import in_this_context
from descend.training.state import copy_state
from descend.types import Array, TrainState

if TYPE_CHECKING:
    from descend.training.loop_state import LoopConfig


KEPT_FOR_DROPPED = 8
"""Chunks are run ahead of evaluations while at least this many are kept for each one dropped."""


class _Ahead(NamedTuple):
    """Updates made in advance.

    Attributes:
        state: a copy of what they began with.
        rates: their learning rates.
        result: waits for the state after them, and their losses.
    """

    state: TrainState
    rates: Rates
    result: Callable[[], tuple[TrainState, Array]]


class ChunkUpdater:
    """Makes the updates of a chunk: pads rates, accumulates gradients, averages weights.

    Where a batch spans several chunks, the gradient sums of the chunks so far are kept here;
    everything else is in the state that goes in and comes out. Close it at the end.
    """

    def __init__(self, config: LoopConfig) -> None:
        self._config = config
        self._sums: GradientSums | None = None
        self._rows = 0
        self._ahead: _Ahead | None = None
        self._kept = self._dropped = 0
        self._thread: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """End the thread that runs ahead, if there is one."""
        if self._thread is not None:
            self._thread.shutdown()

    @property
    def ahead_pays(self) -> bool:
        """Whether what follows an evaluation was mostly as expected.

        A callback that changes the learning rate at each evaluation makes all updates in advance
        useless.
        """
        return self._dropped <= 1 + self._kept // KEPT_FOR_DROPPED

    def run_ahead(
        self, state: TrainState, chunk: Chunk, rates: Rates, *, apart: bool = True
    ) -> TrainState:
        """Begin the next chunk before it is known whether it counts.

        Args:
            state: where the chunk begins; consumed.
            chunk: the next rows.
            rates: learning rates, if nothing changes them.
            apart: whether in a thread of its own. JAX runs what a thread calls on a CPU one after
                the other, so that an evaluation would wait for the chunk; and a device with memory
                of its own lets a call return only when it has begun the last updates.

        Returns:
            A copy of the state. If `apply` gets it with the same rates, the updates are made
            already; otherwise they are forgotten.
        """
        copy = copy_state(state)
        if not apart:
            made = self._run(state, chunk, rates)
            self._ahead = _Ahead(copy, rates, lambda: made)
            return copy
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="descend-ahead")
        result = self._thread.submit(in_this_context(self._run), state, chunk, rates)
        self._ahead = _Ahead(copy, rates, result.result)
        return copy

    def apply(
        self, state: TrainState, chunk: Chunk, rates: Rates
    ) -> tuple[TrainState, Array | None]:
        """The state after one update for each rate, at most as many as the chunk has.

        Args:
            state: where the chunk begins; consumed.
            chunk: the next rows.
            rates: learning rates of the next updates; more than the chunk has do no harm.

        Returns:
            The state and the losses, whose first entries are those of the updates made; both may
            still be being computed. The losses are None where the chunk is a microbatch of an
            unfinished update.
        """
        config = self._config
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.state is state and np.array_equal(ahead.rates, rates):
            self._kept += 1
            return ahead.result()
        self._dropped += ahead is not None
        if config.accumulated is not None:
            updates = min(chunk.updates, len(rates))
            self._sums = config.accumulated.add(self._sums, state, chunk.batch)
            self._rows += chunk.examples
            if not updates:
                return state, None
            share = float(self._averaging(state.update, 1).shares[0])
            sums, rows = self._sums, self._rows
            self._sums, self._rows = None, 0
            return config.accumulated.finish(state, sums, rates[:1], rows, share)
        return self._run(state, chunk, rates)

    def _run(self, state: TrainState, chunk: Chunk, rates: Rates) -> tuple[TrainState, Array]:
        config = self._config
        updates = min(chunk.updates, len(rates))
        padded = np.zeros(config.plan.updates_per_chunk, np.float32)
        padded[:updates] = rates[:updates]
        examples = min(chunk.examples, updates * config.plan.batch_size)
        return config.run_chunk(
            state, chunk.batch, padded, updates, examples, self._averaging(state.update, updates)
        )

    def _averaging(self, first: int, updates: int) -> AveragingSchedule:
        length = self._config.plan.updates_per_chunk
        if self._config.window is None:
            return no_averaging(updates, length)
        return averaging_schedule(first, updates, length, self._config.window)
