"""An update whose batch is too large for one chunk: its gradients are summed over several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from descend.training.averaging import blend
from descend.training.chunk_loop import Rates
from descend.training.gradient import add_penalty, make_gradient_sum, mean_over_rows
from descend.training.jax_setup import jit_program
from descend.training.keys import KeySource, key_source, update_key
from descend.training.objective import Objective
from descend.training.schedule_free import weights_to_evaluate
from descend.training.step import Carry, make_apply
from descend.types import Array, Batch, Params, TrainState, join_variables, split_variables


class GradientSums(NamedTuple):
    """Sums over the microbatches of a large batch so far.

    Attributes:
        loss: weighted sum of the rows' losses.
        gradient: its gradient.
        rows: number of rows whose weight is not 0.
        state: of the model, after the newest microbatch.
    """

    loss: Array
    gradient: Params
    rows: Array
    state: Any = ()


class AccumulatedUpdate(NamedTuple):
    """An update whose batch is too large for one chunk: gradients are accumulated over several.

    Attributes:
        add: `(sums or None, state, chunk, seed) -> sums`; the chunk has leaves
            `[1, padded_rows, ...]`, and the sums passed in are consumed.
        finish: `(state, sums, learning_rates [1], rows, share) -> (state, losses [1])`; `share`
            is that of the new weights in the average. The state passed in is consumed.
    """

    add: Callable[..., GradientSums]
    finish: Callable[[TrainState, GradientSums, Rates, int, float], tuple[TrainState, Array]]


def compile_accumulation(
    objective: Objective, optimizer: optax.GradientTransformation, microbatches: int = 1
) -> AccumulatedUpdate:
    """An update over a batch that is never in memory as a whole: its gradients are accumulated.

    The update equals that of `make_step` up to rounding. Between two microbatches nothing of the
    run has changed: it can be stopped there, and resumes from the beginning of the batch.

    Args:
        objective: what to minimize.
        optimizer: an Optax transformation made with learning rate 1.
        microbatches: number of microbatches that each chunk of the batch is split into.
    """
    sum_gradients = make_gradient_sum(objective, microbatches)
    apply_gradient = make_apply(optimizer)

    def sums_of(
        params: Params, chunk: Batch, keys: KeySource, before: Array | int = 0
    ) -> GradientSums:
        batch = jax.tree.map(lambda leaf: leaf[0], chunk)
        # The number of rows before a chunk tells it from the other chunks of its batch.
        key = jax.random.fold_in(update_key(keys.seed, keys.update), before)
        loss, gradient, state = sum_gradients(params, batch, key)
        return GradientSums(loss, gradient, jnp.count_nonzero(batch.weight), state)

    def add_to(sums: GradientSums, params: Params, chunk: Batch, keys: KeySource) -> GradientSums:
        present = join_variables(split_variables(params)[0], sums.state, params)
        added = sums_of(present, chunk, keys, sums.rows)
        totals = jax.tree.map(jnp.add, sums._replace(state=()), added._replace(state=()))
        return GradientSums(totals.loss, totals.gradient, totals.rows, added.state)

    def apply(
        carry: Carry, mean: Params, sums: GradientSums, rates: Array, share: Array
    ) -> tuple[Carry, Params, Array]:
        loss, gradient = mean_over_rows(objective, sums.loss, sums.gradient, sums.rows)
        gradient = add_penalty(objective, carry[0], gradient)
        carry = apply_gradient(carry, loss, gradient, rates[0], sums.state)
        return carry, blend(mean, weights_to_evaluate(*carry), share), loss[None]

    first = jit_program(sums_of)
    following = jit_program(add_to, donate_argnums=0)
    compiled = jit_program(apply, donate_argnums=(0, 1))

    def add(
        sums: GradientSums | None, state: TrainState, chunk: Batch, seed: int = 0
    ) -> GradientSums:
        arguments = (state.params, chunk, key_source(seed, state.update))
        total: GradientSums = first(*arguments) if sums is None else following(sums, *arguments)
        # Chunks waiting in a queue would fill the memory that accumulation is meant to save.
        jax.block_until_ready(total)
        return total

    def finish(
        state: TrainState, sums: GradientSums, rates: Rates, rows: int, share: float = 1.0
    ) -> tuple[TrainState, Array]:
        (params, opt_state), mean, losses = compiled(
            (state.params, state.opt_state), state.mean, sums, rates, np.float32(share)
        )
        return TrainState(params, opt_state, mean, state.update + 1, state.examples + rows), losses

    return AccumulatedUpdate(add, finish)
