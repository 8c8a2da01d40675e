"""The updates of a resident chunk as one compiled program for a device with memory of its own.

Such a device works through its queue of kernels while the host fills it. A loop whose length is
known only to the device makes the host wait after every turn, to learn whether there is another:
about as long as a small update takes. Therefore

- the order of all rows of the chunk, and their weights in the mean of their batch, are computed
  once, before the first update;
- updates are made in blocks of a fixed number, several of them without a turn of the loop between.
  In the last block those past the end change nothing;
- the average of the weights is updated within an update, in the same pass over them;
- what the host sends for a call are two small arrays, since each costs a transfer.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.training.averaging import AveragingSchedule, blend
from descend.training.chunk_loop import AfterChunk, Rates, RunChunk, count_updates
from descend.training.keys import update_key
from descend.training.objective import Objective
from descend.training.resident import ResidentChunk, gather_rows, rows_of_updates
from descend.training.schedule_free import weights_to_evaluate
from descend.training.step import Carry, Step
from descend.types import Array, Batch, Params, TrainState

SHORTEST_BLOCK, LONGEST_BLOCK = 32, 64
"""Limits on the updates of a block: long enough that the host waits rarely, short enough that few
updates past the end are computed in vain."""
UNROLLED = 4
"""Updates made without a turn of the loop between. More saves little and takes longer to compile.
"""


def compile_resident_chunk(objective: Objective, step: Step, *, noisy: bool = False) -> RunChunk:
    """A loop over the updates of a chunk whose rows the device gathers; compiled for each shape.

    It makes the same updates as `compile_chunk`. The state passed in is consumed.

    Args:
        objective: whose weights the rows have.
        step: one update with a batch whose weights are normalized.
        noisy: whether the model needs a random key for each update.
    """
    step = jax.jit(step, inline=True)

    def loops(
        carry: Carry,
        mean: Params,
        table: Batch,
        permutation: Array | None,
        lanes: Array,
        integers: Array,
        numbers: Array,
    ) -> AfterChunk:
        updates, first, batch_size = integers[:3].astype(jnp.int32)
        seed, first_update = integers[3:5]
        rates, shares = numbers
        block = block_length(len(rates))
        chunk = ResidentChunk(table, permutation, integers[5:], first, batch_size, lanes)
        rows, weights = rows_of_updates(chunk, objective, len(rates))

        def one_update(
            index: Array, so_far: tuple[Carry, Params, Array]
        ) -> tuple[Carry, Params, Array]:
            carry, mean, losses = so_far
            batch = gather_rows(table, rows[index], weights[index])
            key = update_key(seed, first_update + index.astype(jnp.uint32)) if noisy else None
            after, metrics = step(carry, batch, rates[index], key)
            carry = _choose(index < updates, after, carry)
            averaged = blend(mean, weights_to_evaluate(*carry), shares[index])
            mean = _choose(shares[index] > 0, averaged, mean)
            return carry, mean, losses.at[index].set(metrics.loss.astype(losses.dtype))

        def one_block(number: Array, so_far: Any) -> Any:
            return jax.lax.fori_loop(
                0,
                block,
                lambda offset, state: one_update(number * block + offset, state),
                so_far,
                unroll=min(UNROLLED, block),
            )

        blocks = (updates + block - 1) // block
        start = (carry, mean, jnp.zeros_like(rates))
        carry, mean, losses = jax.lax.fori_loop(0, blocks, one_block, start)
        return carry, mean, losses

    return _as_run_chunk(jax.jit(loops, donate_argnums=(0, 1)))


def block_length(updates: int) -> int:
    """Updates of a block, of those lengths that leave the fewest updates past the end.

    Args:
        updates: most updates in a chunk.

    >>> [block_length(updates) for updates in (3, 7, 61, 488, 3907)]
    [3, 8, 64, 56, 44]
    """
    if updates <= UNROLLED:
        return updates
    if updates <= LONGEST_BLOCK:
        return -(-updates // UNROLLED) * UNROLLED
    lengths = range(LONGEST_BLOCK, SHORTEST_BLOCK - 1, -UNROLLED)
    return min(lengths, key=lambda length: -updates % length)


def _as_run_chunk(compiled: Any) -> RunChunk:
    """A compiled loop as a function of training states, its arguments packed into few arrays."""

    def call(
        state: TrainState,
        chunk: ResidentChunk,
        rates: Rates,
        averaging: AveragingSchedule,
        seed: int,
    ) -> AfterChunk:
        block = block_length(len(rates))
        numbers = np.zeros((2, -(-len(rates) // block) * block), np.float32)
        numbers[0, : len(rates)] = rates
        stops = averaging.stops[: int(averaging.used)]
        updates = int(stops[-1])
        if updates:
            numbers[1, stops - 1] = averaging.shares[: len(stops)]
        counts = (updates, chunk.first, chunk.batch_size, seed, state.update, *chunk.keys)
        integers = np.array([int(value) & 0xFFFFFFFF for value in counts], np.uint32)
        result: AfterChunk = compiled(
            (state.params, state.opt_state),
            state.mean,
            chunk.table,
            chunk.permutation,
            chunk.lanes,
            integers,
            numbers,
        )
        return result

    return count_updates(call)


def _choose(condition: Array, one: Any, other: Any) -> Any:
    return jax.tree.map(lambda left, right: jnp.where(condition, left, right), one, other)
