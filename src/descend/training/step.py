"""One update of the weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from descend.training.gradient import (
    LossAndGradient,
    add_penalty,
    make_gradient_sum,
    mean_over_rows,
)
from descend.training.objective import Objective
from descend.training.processes.slices import mean_over_processes, slice_index, sum_over_processes
from descend.training.schedule_free import at_rate
from descend.types import Array, Batch, Metrics, Params, join_variables, split_variables

Carry = tuple[Params, Any]
"""Weights and the memory of the optimizer."""
ApplyGradient = Callable[[Carry, Array, Params, Array, Any], Carry]


class Step(Protocol):
    """One update."""

    def __call__(
        self, carry: Carry, batch: Batch, learning_rate: Array, key: Array | None = None
    ) -> tuple[Carry, Metrics]:
        """`((params, opt_state), batch, learning_rate) -> ((params, opt_state), metrics)`."""


def make_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    microbatches: int = 1,
    *,
    parallel: bool = False,
    normalized: bool = False,
) -> Step:
    """One update: θ ← θ + learning rate · direction(gradient of the batch).

    Args:
        objective: what to minimize.
        optimizer: an Optax transformation made with learning rate 1; it gives the direction.
        microbatches: number of microbatches the batch is split into. Their gradients are summed,
            so the update is the same up to rounding, in less memory.
        parallel: whether several processes have a slice of the batch each. Their sums meet in one
            all-reduce, and all of them make the same update.
        normalized: whether the weights of the batches are normalized already.

    Returns:
        `((params, opt_state), batch, learning_rate) -> ((params, opt_state), metrics)`, pure.
    """
    sum_gradients = make_gradient_sum(objective, microbatches)
    apply_gradient = make_apply(optimizer)

    def mean_gradient(params: Params, batch: Batch, key: Array | None) -> LossAndGradient:
        own_key = None if key is None else jax.random.fold_in(key, slice_index())
        loss, gradient, state = sum_gradients(params, batch, own_key)
        rows = jnp.count_nonzero(batch.weight).astype(jnp.float32)
        if jax.tree.leaves(state):
            state = mean_over_processes(state, rows)
        loss, gradient, rows = sum_over_processes((loss, gradient, rows))
        return (*mean_over_rows(objective, loss, gradient, rows), state)

    def step(
        carry: Carry, batch: Batch, learning_rate: Array, key: Array | None = None
    ) -> tuple[Carry, Metrics]:
        if parallel:
            loss, gradient, state = mean_gradient(carry[0], batch, key)
        else:
            batch = batch if normalized else objective.normalize_weights(batch)
            loss, gradient, state = sum_gradients(carry[0], batch, key)
        gradient = add_penalty(objective, carry[0], gradient)
        return apply_gradient(carry, loss, gradient, learning_rate, state), Metrics(loss)

    return step


def make_apply(optimizer: optax.GradientTransformation) -> ApplyGradient:
    """`((params, opt_state), loss, gradient, learning_rate, state) -> (params, opt_state)`."""
    rule = optax.with_extra_args_support(optimizer)

    def moved(change: Array | None, weights: Params, learning_rate: Array) -> Params:
        # Where the rule says None, as of what is never trained, there is nothing to compute.
        return weights if change is None else weights + learning_rate.astype(weights.dtype) * change

    def apply_gradient(
        carry: Carry, loss: Array, gradient: Params, learning_rate: Array, state: Any
    ) -> Carry:
        variables, opt_state = carry
        params, _ = split_variables(variables)
        direction, after = rule.update(gradient, opt_state, params, value=loss)
        updated = jax.tree.map(
            lambda change, weights: moved(change, weights, learning_rate),
            direction,
            params,
            is_leaf=lambda change: change is None,
        )
        updated, after = at_rate(learning_rate, params, updated, opt_state, after)
        return join_variables(updated, state, variables), after

    return apply_gradient
