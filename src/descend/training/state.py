"""The state of training: weights, memory of the optimizer, running average, counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from descend.types import Params, TrainState, split_variables


def initial_state(
    init: Callable[[int], Params], optimizer: optax.GradientTransformation, seed: int
) -> TrainState:
    """The state before the first update; the same seed gives the same weights."""
    return state_at(jax.device_put(init(seed)), optimizer)


def state_at(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first update at given weights, which are copied."""
    weights, _ = split_variables(params)
    return copy_state(TrainState(params, jax.jit(optimizer.init)(weights), params, 0, 0))


def copy_state(state: TrainState) -> TrainState:
    """A copy with arrays of its own, so that the original may be donated."""
    params, opt_state, mean = _copy((state.params, state.opt_state, state.mean))
    return TrainState(params, opt_state, mean, state.update, state.examples)


def at_average(state: TrainState) -> TrainState:
    """A copy of the state whose weights are the averaged ones."""
    return copy_state(state._replace(params=state.mean))


@jax.jit
def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)
