"""A custom model as pure functions, the common form of every kind of model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.errors import InputError
from descend.training.objective import TrainingApply
from descend.types import Array, Params, Variables


def choose_leaves(trainable: Any, weights: Params) -> list[bool]:
    """Booleans, in the order of the leaves, that say which weights are trained.

    Args:
        trainable: a tree of booleans in the form of the weights, where one may stand for a whole
            branch, or a function of the weights that gives one, as masks of Optax.
        weights: as the user knows them.

    Raises:
        InputError: it has another form.
    """
    mask = trainable(weights) if callable(trainable) else trainable
    try:
        spread = jax.tree.map(lambda one, part: jax.tree.map(lambda _: one, part), mask, weights)
    except (TypeError, ValueError) as error:
        raise InputError(
            "Expected trainable as booleans in the form of the weights (or of the branches that "
            f"they have), or as a function of the weights that gives these: {error}"
        ) from None
    found = jax.tree.leaves(spread)
    if not all(isinstance(one, bool | np.bool_) for one in found):
        raise InputError(f"Expected trainable as booleans; found {found[0]!r}.")
    return [bool(one) for one in found]


class CustomModel(NamedTuple):
    """A model as pure functions, and how to rebuild the user's model from weights.

    Attributes:
        init: `seed -> params`; `Variables` where the model holds more than its weights.
        apply: `(params, x) -> outputs`: the model as it predicts.
        rebuilt: `params -> model`, of the kind that the user gave.
        shown: `params -> params` in the user's form.
        training_apply: `(params, state, x, key) -> (outputs, state)`: the model while it is
            trained; None: `apply`.
        penalty: `params -> penalty` that the model itself asks for, or None.
        has_weights: whether it comes with weights, the same for every seed.
        head: the function that the last layer ends with, where the framework tells.
        chosen: `(trainable, weights) -> which leaves are trained`.
        fills: whether `rebuilt` gives the weights to the user's own model.
    """

    init: Callable[[int], Params]
    apply: Callable[[Params, Any], Any]
    rebuilt: Callable[[Params], Any]
    shown: Callable[[Params], Any] = lambda params: params
    training_apply: TrainingApply | None = None
    penalty: Callable[[Params], Array] | None = None
    has_weights: bool = False
    head: str | None = None
    chosen: Callable[[Any, Params], list[bool]] = choose_leaves
    fills: bool = False


def as_before(state: Any, before: Any) -> Any:
    """The state after a call, cast to the types it had before, so that a loop can carry it.

    Raises:
        InputError: its arrays are others.
    """
    shapes = [jax.tree.map(np.shape, one) for one in (before, state)]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"The state of the model has another form after a call: {shapes[1]} after {shapes[0]}. "
            "Return the state that comes in with new values."
        )
    return jax.tree.map(lambda one, other: jnp.asarray(one, other.dtype), state, before)


def with_constant_state(model: CustomModel) -> CustomModel:
    """The model with its state as constants, for states that no call changes."""
    state = model.init(0).state
    return model._replace(
        init=lambda seed: model.init(seed).params,
        apply=lambda params, x: model.apply(Variables(params, state), x),
        rebuilt=lambda params: model.rebuilt(Variables(params, state)),
        shown=lambda params: model.shown(Variables(params, state)),
        training_apply=None,
    )


def copy_tree(tree: Any) -> Any:
    """Independent copies of the arrays of a tree.

    `jnp.asarray` would share memory with NumPy's arrays, and a framework may use it up.
    """
    return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), tree)
