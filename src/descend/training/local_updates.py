"""Fewer messages: each process updates its own weights, and the weights meet now and then.

Between two meetings a process makes updates from its slices of the batches alone; then weights,
momentum and whatever else the update rule remembers are averaged, each process counted by the rows
it has learned from since the last meeting (local SGD: Stich 2019, arXiv 1805.09767; Lin et al.
2020, arXiv 1808.07217). With one update between two meetings, and a rule that is linear in the
gradient such as momentum, this is the update from the whole batch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from descend.data.rows.batches import BatchPlan
from descend.training.averaging import AveragingSchedule, blend
from descend.training.chunk_loop import RunChunk, as_run_chunk, compile_over_processes
from descend.training.keys import KeySource, update_key
from descend.training.processes.slices import mean_over_processes, slice_index, sum_over_processes
from descend.training.resident import batch_at
from descend.training.schedule_free import weights_to_evaluate
from descend.training.step import Carry, Step
from descend.types import Array, Batch, Params

MOST_BETWEEN = 512
"""Most updates between two meetings; DiLoCo (Douillard et al. 2023, arXiv 2311.08105) has 500."""


def plan_between_meetings(plan: BatchPlan, every: int) -> BatchPlan:
    """The plan whose chunks end where weights meet, as far as an evaluation does not come first."""
    updates = every * max(1, plan.updates_per_chunk // every)
    return replace(plan, updates_per_chunk=min(updates, plan.updates_per_interval))


def compile_local_chunk(step: Step, every: int, *, noisy: bool = False) -> RunChunk:
    """A loop of updates over the slices of a chunk's batches, as `compile_chunk` has it.

    The weights of the processes meet after each update whose number is a multiple of `every`, and
    after the last of a chunk: what is evaluated and saved is the same in all of them.

    Args:
        step: one update of one process, from its slice.
        every: updates from one meeting to the next.
        noisy: whether the model needs a random key for each update.
    """
    step = jax.jit(step, inline=True)

    def loops(
        carry: Carry,
        mean: Params,
        batch: Batch,
        rates: Array,
        averaging: AveragingSchedule,
        keys: KeySource,
    ) -> tuple[Carry, Params, Array]:
        last = averaging.stops[averaging.used - 1]

        def meet(so_far: tuple[Carry, Carry, Array]) -> tuple[Carry, Carry, Array]:
            carry, common, rows = so_far
            met = mean_over_processes(carry, rows, common)
            return met, met, jnp.zeros_like(rows)

        def one_update(index: Array, so_far: Any) -> Any:
            carry, common, rows, sums = so_far
            mini_batch = batch_at(batch, index)
            key = None
            if noisy:
                key = jax.random.fold_in(update_key(keys.seed, keys.update + index), slice_index())
            carry, metrics = step(carry, mini_batch, rates[index], key)
            own = jnp.count_nonzero(mini_batch.weight).astype(rows.dtype)
            sums = sums.at[:, index].set(jnp.stack([(metrics.loss * own).astype(rows.dtype), own]))
            number = index + 1
            due = (keys.update + number.astype(jnp.uint32)) % every == 0
            carry, common, rows = jax.lax.cond(
                due | (number == last), meet, lambda same: same, (carry, common, rows + own)
            )
            return carry, common, rows, sums

        def until_next_sample(number: Array, so_far: Any) -> Any:
            carry, common, mean, rows, sums, start = so_far
            stop = averaging.stops[number]
            carry, common, rows, sums = jax.lax.fori_loop(
                start, stop, one_update, (carry, common, rows, sums)
            )
            return (
                carry,
                common,
                blend(mean, weights_to_evaluate(*carry), averaging.shares[number]),
                rows,
                sums,
                stop,
            )

        zeros = jnp.zeros((2, *rates.shape), rates.dtype)
        # All processes begin a chunk with the same weights, and the same mean of them.
        first = (carry, carry, mean, jnp.zeros((), rates.dtype), zeros, jnp.int32(0))
        carry, _, own_mean, _, sums, _ = jax.lax.fori_loop(
            0, averaging.used, until_next_sample, first
        )
        mean = mean_over_processes(own_mean, sums[1].sum(), mean)
        losses, rows = sum_over_processes(sums)
        return carry, mean, losses / jnp.maximum(rows, 1)

    return as_run_chunk(compile_over_processes(loops), numbered=True)
