"""Apply chunks of rows to a training state: one path for the training loop and for short trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from descend.data.rows.batches import Chunk
from descend.training.accumulation import GradientSums
from descend.training.averaging import AveragingSchedule, averaging_schedule, no_averaging
from descend.training.chunk_loop import Rates
from descend.types import Array, TrainState

if TYPE_CHECKING:
    from descend.training.loop import LoopConfig


class ChunkUpdater:
    """Makes the updates of a chunk: pads rates, accumulates gradients, averages weights.

    Where a batch spans several chunks, the gradient sums of the chunks so far are kept here;
    everything else is in the state that goes in and comes out.
    """

    def __init__(self, config: LoopConfig) -> None:
        self._config = config
        self._sums: GradientSums | None = None
        self._rows = 0

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
        updates = min(chunk.updates, len(rates))
        if config.accumulated is not None:
            self._sums = config.accumulated.add(self._sums, state, chunk.batch)
            self._rows += chunk.examples
            if not updates:
                return state, None
            share = float(self._averaging(state.update, 1).shares[0])
            sums, rows = self._sums, self._rows
            self._sums, self._rows = None, 0
            return config.accumulated.finish(state, sums, rates[:1], rows, share)
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
