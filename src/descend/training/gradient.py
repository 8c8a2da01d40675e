"""The gradient of a batch: one microbatch after the other, summed, as a mean, with the penalty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from descend.training.convolutions import with_fast_convolutions
from descend.training.objective import Objective
from descend.types import Array, Batch, Params, join_variables, split_variables

LossAndGradient = tuple[Array, Params, Any]
"""The weighted sum of losses of some rows, its gradient, and the state of the model after them."""
SumGradients = Callable[[Params, Batch, Array | None], LossAndGradient]


class GradientOf(Protocol):
    """The mean loss of a batch and the gradient of its objective."""

    def __call__(
        self, params: Params, batch: Batch, key: Array | None = None
    ) -> tuple[Array, Params]:
        """`(params, batch) -> (mean loss, gradient)`; the key is for noise in the model."""


def make_gradient(objective: Objective, microbatches: int = 1) -> GradientOf:
    """The mean loss of a batch and the gradient of its objective.

    Args:
        objective: what to minimize.
        microbatches: number of microbatches the batch is split into, their gradients summed.

    Returns:
        `(params, batch) -> (mean loss, gradient)`; the penalty is in the gradient alone. The
        gradient is with respect to the weights that an update changes.
    """
    sum_gradients = make_gradient_sum(objective, microbatches)

    def gradient_of(params: Params, batch: Batch, key: Array | None = None) -> tuple[Array, Params]:
        loss, gradient, _ = sum_gradients(params, objective.normalize_weights(batch), key)
        return loss, add_penalty(objective, params, gradient)

    return gradient_of


def make_gradient_sum(objective: Objective, microbatches: int) -> SumGradients:
    """The weighted sum of the losses of a batch and its gradient, one microbatch at a time."""
    gradient_of_one = _value_gradient_state(objective)

    def sum_gradients(params: Params, batch: Batch, key: Array | None) -> LossAndGradient:
        if microbatches == 1:
            return gradient_of_one(params, batch, key)
        split = jax.tree.map(
            lambda leaf: leaf.reshape(microbatches, leaf.shape[0] // microbatches, *leaf.shape[1:]),
            batch,
        )
        weights, state = split_variables(params)
        first = jax.tree.map(lambda leaf: leaf[0], split)
        shapes = jax.eval_shape(gradient_of_one, params, first, key)[:2]
        zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

        def add(so_far: Any, numbered: tuple[Array, Batch]) -> tuple[Any, None]:
            total, state = so_far
            number, microbatch = numbered
            key_of_one = None if key is None else jax.random.fold_in(key, number)
            present = join_variables(weights, state, params)
            *found, state = gradient_of_one(present, microbatch, key_of_one)
            return (jax.tree.map(jnp.add, total, tuple(found)), state), None

        numbered = (jnp.arange(microbatches), split)
        (total, state), _ = jax.lax.scan(add, (zeros, state), numbered)
        return total[0], total[1], state

    return sum_gradients


def _value_gradient_state(objective: Objective) -> SumGradients:
    """`(params, rows, key) -> (weighted sum of losses, its gradient, state after it)`."""
    training_sum = objective.training_sum

    def evaluate(params: Params, rows: Batch, key: Array | None) -> LossAndGradient:
        weights, state = split_variables(params)

        def loss_of(weights: Params) -> tuple[Array, Any]:
            if training_sum is not None:
                # Measurements of memory or noise may use any key.
                return training_sum(weights, state, rows, jax.random.key(0) if key is None else key)
            return objective.loss_sum(join_variables(weights, state, params), rows), state

        (loss, after), gradient = jax.value_and_grad(loss_of, has_aux=True)(weights)
        return loss, gradient, jax.lax.stop_gradient(after)

    return with_fast_convolutions(evaluate)


def value_and_gradient(function: Callable[..., Array]) -> Callable[..., tuple[Array, Params]]:
    """`(params, ...) -> (value, gradient)` with respect to the weights that an update changes."""

    def both(params: Params, *arguments: Any) -> tuple[Array, Params]:
        weights, state = split_variables(params)

        def by_weights(weights: Params) -> Array:
            return function(join_variables(weights, state, params), *arguments)

        found: tuple[Array, Params] = jax.value_and_grad(by_weights)(weights)
        return found

    return with_fast_convolutions(both)


def mean_over_rows(
    objective: Objective, loss: Array, gradient: Params, rows: Array
) -> tuple[Array, Params]:
    """The mean loss and its gradient: weighted sums over some rows, divided by their number.

    Args:
        objective: whose mean weight the rows have.
        loss: weighted sum of the rows' losses.
        gradient: its gradient.
        rows: number of rows whose weight is not 0; where there are none, both stay 0.
    """
    per_row = 1.0 / (jnp.maximum(1, rows) * objective.mean_weight)
    scaled = jax.tree.map(lambda leaf: leaf * per_row.astype(leaf.dtype), gradient)
    return loss * per_row, scaled


def add_penalty(objective: Objective, params: Params, gradient: Params) -> Params:
    """The gradient of the mean loss plus that of the penalty."""
    if objective.penalty is None:
        return gradient
    weights, _ = split_variables(params)
    return jax.tree.map(jnp.add, gradient, jax.grad(objective.penalty)(weights))
