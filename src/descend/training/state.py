"""The state of training: weights, memory of the optimizer, running average, counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.extend.core import Literal

from descend.training.jax_setup import jit_program
from descend.types import Params, TrainState, split_variables


def initial_state(
    init: Callable[[int], Params], optimizer: optax.GradientTransformation, seed: int
) -> TrainState:
    """The state before the first update; the same seed gives the same weights."""
    return state_at(jax.device_put(init(seed)), optimizer)


def state_at(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first update at given weights, which are copied."""
    weights, _ = split_variables(params)
    return copy_state(TrainState(params, _memory(optimizer, weights), params, 0, 0))


def _memory(optimizer: optax.GradientTransformation, weights: Params) -> Any:
    """What an optimizer remembers before the first update.

    Mostly arrays of one number, which NumPy makes; only what is computed from the weights is
    compiled.
    """
    traced, form = jax.make_jaxpr(optimizer.init, return_shape=True)(weights)
    known = dict(zip(traced.jaxpr.invars, jax.tree.leaves(weights), strict=True))
    for equation in traced.jaxpr.eqns:
        source, result = equation.invars[0], equation.outvars[0]
        if equation.primitive.name != "broadcast_in_dim" or not isinstance(source, Literal):
            return jit_program(optimizer.init)(weights)
        known[result] = np.full(result.aval.shape, source.val, result.aval.dtype)
    leaves = []
    for result in traced.jaxpr.outvars:
        if result.aval.weak_type or not (isinstance(result, Literal) or result in known):
            return jit_program(optimizer.init)(weights)
        value = result.val if isinstance(result, Literal) else known[result]
        leaves.append(jnp.asarray(value, result.aval.dtype))
    return jax.tree.unflatten(jax.tree.structure(form), leaves)


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
