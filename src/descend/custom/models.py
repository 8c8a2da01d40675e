"""Models that are not ours, as `init` and `apply`: JAX functions, Flax NNX, Equinox, Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from descend.errors import InputError
from descend.types import Array, Batch, Params


class CustomModel(NamedTuple):
    """A model as two pure functions, and the way back.

    Attributes:
        init: `seed -> params`.
        apply: `(params, x) -> outputs [B, ...]`, each row by itself.
        rebuilt: `params -> model`, of the kind that the user gave.
        changed: `(params, x) -> names`, of variables that a call changes although no gradient
            does.
    """

    init: Callable[[int], Params]
    apply: Callable[[Params, Any], Array]
    rebuilt: Callable[[Params], Any]
    changed: Callable[[Params, Any], list[str]] = lambda params, x: []


def custom_model(model: Any) -> CustomModel:
    """A model of any kind that is known, with the reason where it cannot be trained.

    Args:
        model: `(init, apply)` with `init(key) -> params` and `apply(params, x) -> outputs`; a
            Flax NNX module or Keras model that takes a batch; an Equinox module that takes a row.

    Raises:
        InputError: it is none of these, or it carries state.
    """
    if isinstance(model, tuple) and len(model) == 2 and all(callable(part) for part in model):
        init, apply = model
        return CustomModel(lambda seed: init(jax.random.key(seed)), apply, lambda params: model)
    families = {base.__module__.split(".")[0] for base in type(model).__mro__}
    if "flax" in families:
        return _flax(model)
    if "equinox" in families:
        return _equinox(model)
    if "keras" in families:
        return _keras(model)
    raise InputError(
        "Expected a model as functions (init, apply), a Flax NNX module, an Equinox module or a "
        f"Keras model on JAX; found {type(model).__module__}.{type(model).__name__}."
    )


def _flax(model: Any) -> CustomModel:
    from flax import nnx

    if not isinstance(model, nnx.Module):
        raise InputError("Expected a Flax NNX module; give a Linen module as (init, apply).")
    # Other variables are constants: running means that stand still, keys of dropout in evaluation.
    structure, *states = nnx.split(model, nnx.Param, ...)
    params, constants = states
    # A state is a tree of one array or more; as plain dicts it can be saved by name.
    plain = nnx.to_pure_dict(params)

    def merged(weights: Params) -> Any:
        state = jax.tree.map(lambda one: one, params)
        nnx.replace_by_pure_dict(state, weights)
        # A call may write to its variables: they are the model's own no longer.
        return nnx.merge(structure, state, jax.tree.map(lambda one: one, constants))

    def apply(weights: Params, x: Any) -> Array:
        return merged(weights)(x)

    def changed(weights: Params, x: Any) -> list[str]:
        called = merged(weights)
        called(x)
        before = nnx.to_flat_state(constants)
        *_, after = (nnx.to_flat_state(one) for one in nnx.split(called, nnx.Param, ...)[1:])
        return sorted(
            {
                type(one).__name__
                for (_, one), (_, other) in zip(before, after, strict=True)
                if not _equal(one[...], other[...])
            }
        )

    return CustomModel(lambda seed: _copied(plain), apply, merged, changed)


def _equinox(model: Any) -> CustomModel:
    import equinox

    def is_stateful(leaf: Any) -> bool:
        return isinstance(leaf, equinox.nn.StateIndex | equinox.nn.Dropout)

    for leaf in jax.tree.leaves(model, is_leaf=is_stateful):
        if isinstance(leaf, equinox.nn.StateIndex):
            raise _carries_state("an equinox.nn.StateIndex")
        if isinstance(leaf, equinox.nn.Dropout) and not leaf.inference:
            raise _carries_state("an equinox.nn.Dropout, which needs a random key at every call")
    params, static = equinox.partition(model, equinox.is_inexact_array)
    leaves, structure = jax.tree.flatten(params)

    def rebuilt(weights: Params) -> Any:
        return equinox.combine(jax.tree.unflatten(structure, weights), static)

    def apply(weights: Params, x: Any) -> Array:
        return jax.vmap(rebuilt(weights))(x)

    return CustomModel(lambda seed: _copied(leaves), apply, rebuilt)


def _keras(model: Any) -> CustomModel:
    import keras

    if keras.backend.backend() != "jax":
        raise InputError(
            f"Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=jax before importing it."
        )
    if not model.built:
        raise InputError("The Keras model has no weights yet; begin it with keras.Input(shape).")
    leaves = [one.value for one in model.trainable_variables]
    # Frozen layers and the means of a Normalization layer are constants.
    constants = [one.value for one in model.non_trainable_variables]

    def apply(weights: Params, x: Any) -> Array:
        return model.stateless_call(weights, constants, x, training=True)[0]

    def changed(weights: Params, x: Any) -> list[str]:
        after = model.stateless_call(weights, constants, x, training=True)[1]
        pairs = zip(model.non_trainable_variables, constants, after, strict=True)
        return [variable.path for variable, one, other in pairs if not _equal(one, other)]

    def rebuilt(weights: Params) -> Any:
        for variable, value in zip(model.trainable_variables, weights, strict=True):
            variable.assign(value)
        return model

    return CustomModel(lambda seed: _copied(leaves), apply, rebuilt, changed)


def check_rows_apart(
    model: CustomModel, per_example: Callable[[Array, Array], Array], rows: Batch, seed: int
) -> tuple[int, ...]:
    """Raise InputError where a row's output depends on other rows, of its batch or before it.

    A batch then has no gradient that is the mean of its rows' gradients, and what the batch size
    does to training cannot be told from what it does to the model.

    Args:
        model: its weights are shaken a little, so that layers that begin at zero show too.
        per_example: the loss.
        rows: a few rows.
        seed: of the weights.

    Returns:
        The shape of the outputs for these rows.
    """
    params = _shaken(model.init(seed), seed)
    changed = model.changed(params, rows.x)
    if changed:
        raise _carries_state(f"variables that a call changes ({', '.join(changed[:3])})")
    together = model.apply(params, rows.x)
    if not hasattr(together, "shape"):
        raise _carries_state("its apply returns more than outputs")
    count = len(rows.weight)
    if together.shape[:1] != (count,):
        raise InputError(
            f"Expected outputs for each of {count} rows, found the shape {together.shape}."
        )
    for place in range(count):
        row = jax.tree.map(lambda leaf, one=place: leaf[one : one + 1], rows.x)
        alone = np.asarray(model.apply(params, row))
        if not np.allclose(alone[0], np.asarray(together[place]), rtol=1e-3, atol=1e-4):
            raise InputError(
                "The model couples the rows of a batch: a row alone has other outputs than among "
                "others. Batch normalisation does so; use layer or group normalisation instead."
            )
    losses = per_example(together, rows.y)
    if np.shape(losses) != (count,):
        raise InputError(
            f"Expected a loss for each of {count} rows, `(outputs, y) -> [B]`, found the shape "
            f"{np.shape(losses)}. Leave the mean over the batch out."
        )
    return tuple(together.shape)


def _shaken(params: Params, seed: int) -> Params:
    random = np.random.default_rng(seed)

    def shaken(leaf: Any) -> Any:
        values = np.asarray(leaf)
        if values.dtype.kind != "f":
            return leaf
        return values + 0.05 * random.standard_normal(values.shape).astype(values.dtype)

    return jax.tree.map(shaken, params)


def _carries_state(what: str) -> InputError:
    return InputError(
        f"The model carries state from batch to batch: {what}. Batch normalisation and dropout do "
        "so while they learn; use layer or group normalisation, and l2 or early stopping, instead."
    )


def _equal(one: Array, other: Array) -> bool:
    if jax.numpy.issubdtype(one.dtype, jax.dtypes.prng_key):
        one, other = jax.random.key_data(one), jax.random.key_data(other)
    return np.array_equal(np.asarray(one), np.asarray(other))


def _copied(params: Params) -> Params:
    return jax.tree.map(jax.numpy.array, params)
