"""One update, and a stretch of updates as one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from descend.training.objective import Objective
from descend.types import Array, Batch, Metrics, Params, TrainState

Carry = tuple[Params, Any]
GradientOf = Callable[[Params, Batch], tuple[Array, Params]]
Step = Callable[[Carry, Batch, Array], tuple[Carry, Metrics]]
Rates = npt.NDArray[np.float32]
RunChunk = Callable[[TrainState, Batch, Rates, int, int], tuple[TrainState, Array]]


def make_step(
    objective: Objective, optimizer: optax.GradientTransformation, pieces: int = 1
) -> Step:
    """One update: gradient of the batch, the optimizer's direction, times the learning rate.

    Args:
        objective: what to make small.
        optimizer: an Optax transformation made with learning rate 1.
        pieces: micro-batches that the batch is cut into; their gradients are summed, so the
            update is the same to rounding, in less memory.

    Returns:
        `((params, opt_state), batch, learning_rate) -> ((params, opt_state), metrics)`, pure.
    """
    rule = optax.with_extra_args_support(optimizer)
    gradient_of = make_gradient(objective, pieces)

    def step(carry: Carry, batch: Batch, learning_rate: Array) -> tuple[Carry, Metrics]:
        params, opt_state = carry
        loss, gradient = gradient_of(params, batch)
        direction, opt_state = rule.update(gradient, opt_state, params, value=loss)
        params = jax.tree.map(
            lambda weight, change: weight + learning_rate.astype(weight.dtype) * change,
            params,
            direction,
        )
        return (params, opt_state), Metrics(loss)

    return step


def make_gradient(objective: Objective, pieces: int = 1) -> GradientOf:
    """The mean loss of a batch and the gradient of its objective.

    Args:
        objective: what to make small.
        pieces: micro-batches that the batch is cut into, their gradients summed.

    Returns:
        `(params, batch) -> (mean loss, gradient)`; the penalty is in the gradient alone.
    """
    piece_gradient: GradientOf = jax.value_and_grad(objective.loss_sum)

    def summed(params: Params, batch: Batch) -> tuple[Array, Params]:
        if pieces == 1:
            return piece_gradient(params, batch)
        cut = jax.tree.map(
            lambda leaf: leaf.reshape(pieces, leaf.shape[0] // pieces, *leaf.shape[1:]), batch
        )
        shapes = jax.eval_shape(piece_gradient, params, jax.tree.map(lambda leaf: leaf[0], cut))
        first = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

        def add(total: tuple[Array, Params], piece: Batch) -> tuple[tuple[Array, Params], None]:
            return jax.tree.map(jnp.add, total, piece_gradient(params, piece)), None

        total, _ = jax.lax.scan(add, first, cut)
        return total[0], total[1]

    def gradient_of(params: Params, batch: Batch) -> tuple[Array, Params]:
        loss, gradient = summed(params, objective.shares(batch))
        if objective.penalty is not None:
            gradient = jax.tree.map(jnp.add, gradient, jax.grad(objective.penalty)(params))
        return loss, gradient

    return gradient_of


def compile_chunk(step: Step) -> RunChunk:
    """A stretch of updates over the batches of a chunk, compiled once for each shape.

    The number of updates is an argument, not a shape: a short chunk at the end of an epoch runs
    in the same program. The state passed in is used up (its buffers are donated).

    Returns:
        `(state, batch, learning_rates [U], updates, examples) -> (state, losses [U])`; only the
        first `updates` batches are run, and only the first `updates` losses mean anything.
    """

    def run(carry: Carry, batch: Batch, rates: Array, updates: Array) -> tuple[Carry, Array]:
        def one(index: Array, so_far: tuple[Carry, Array]) -> tuple[Carry, Array]:
            carry, losses = so_far
            mini_batch = jax.tree.map(lambda leaf: leaf[index], batch)
            carry, metrics = step(carry, mini_batch, rates[index])
            return carry, losses.at[index].set(metrics.loss)

        carry, losses = jax.lax.fori_loop(0, updates, one, (carry, jnp.zeros_like(rates)))
        return carry, losses

    compiled = jax.jit(run, donate_argnums=0)

    def run_chunk(
        state: TrainState, batch: Batch, rates: Rates, updates: int, examples: int
    ) -> tuple[TrainState, Array]:
        (params, opt_state), losses = compiled(
            (state.params, state.opt_state), batch, rates, np.int32(updates)
        )
        state = TrainState(params, opt_state, state.update + updates, state.examples + examples)
        return state, losses

    return run_chunk


def initial_state(
    init: Callable[[Array], Params], optimizer: optax.GradientTransformation, seed: int
) -> TrainState:
    """The state before the first update; the same seed gives the same weights."""
    params = init(jax.random.key(seed))
    return TrainState(params, optimizer.init(params), 0, 0)


def copied(state: TrainState) -> TrainState:
    """A state whose arrays are its own, so that the original may be donated."""
    params, opt_state = jax.tree.map(jnp.copy, (state.params, state.opt_state))
    return TrainState(params, opt_state, state.update, state.examples)
