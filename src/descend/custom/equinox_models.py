"""Equinox modules, which take one row, as pure functions of a batch."""

from __future__ import annotations

import inspect
from typing import Any

import jax

from descend.custom.call_inputs import arguments_of, training_flags
from descend.custom.models import CustomModel, as_before, copy_tree
from descend.errors import InputError
from descend.types import Array, Params, Variables

AXIS = "batch"
"""The name of the axis of rows, where no layer asks for another."""


def equinox_model(model: Any) -> CustomModel:
    """An Equinox module, or `(module, state)` as `equinox.nn.make_with_state` gives them.

    Dropout gets a key for each row, batch normalization the axis of the rows.

    Raises:
        InputError: a module that keeps a state, without the state.
    """
    import equinox

    module, state = model if isinstance(model, tuple) else (model, None)
    if state is None and any(
        isinstance(leaf, equinox.nn.StateIndex) for leaf in _parts(module, equinox.nn.StateIndex)
    ):
        raise InputError(
            "The Equinox module keeps a state (an equinox.nn.StateIndex): give (module, state) as "
            "equinox.nn.make_with_state returns them."
        )
    params, static = equinox.partition(module, equinox.is_inexact_array)
    params = copy_tree(params)
    numbers, structure = jax.tree.flatten(state)
    numbers = copy_tree(numbers)
    parameters = inspect.signature(module).parameters
    takes_key = "key" in parameters
    needs_key = takes_key and parameters["key"].default is inspect.Parameter.empty
    flags, arguments = training_flags(module), arguments_of(module, key_and_state=True)
    names = {layer.axis_name for layer in _parts(module, equinox.nn.BatchNorm)}
    axis = next(iter(names), AXIS)

    def call(module: Any, held: Any, x: Any, key: Array | None) -> tuple[Any, Any]:
        told = flags if key is not None else {name: not value for name, value in flags.items()}
        keys = None
        if takes_key and (key is not None or needs_key):
            own = jax.random.key(0) if key is None else key
            keys = jax.random.split(own, jax.tree.leaves(x)[0].shape[0])

        def one(row: Any, key: Any) -> Any:
            inputs, named = arguments(row)
            named = {**named, **told, **({} if key is None else {"key": key})}
            if state is None:
                return module(*inputs, **named), None
            held_state = jax.tree.unflatten(structure, held)
            if "state" in parameters:
                return module(*inputs, state=held_state, **named)
            return module(*inputs, held_state, **named)

        in_axes = (0, None if keys is None else 0)
        found: tuple[Any, Any] = jax.vmap(one, axis_name=axis, in_axes=in_axes, out_axes=(0, None))(
            x, keys
        )
        return found

    def rebuilt_module(weights: Params) -> Any:
        return equinox.combine(weights, static)

    def apply(variables: Params, x: Any) -> Any:
        module = equinox.nn.inference_mode(rebuilt_module(variables.params))
        return call(module, variables.state, x, None)[0]

    def training_apply(weights: Params, held: Any, x: Any, key: Array) -> tuple[Any, Any]:
        outputs, after = call(rebuilt_module(weights), held, x, key)
        return outputs, as_before(jax.tree.leaves(after), held)

    def rebuilt(variables: Params) -> Any:
        module = rebuilt_module(variables.params)
        if state is None:
            return module
        return module, jax.tree.unflatten(structure, variables.state)

    return CustomModel(
        init=lambda seed: copy_tree(Variables(params, numbers)),
        apply=apply,
        rebuilt=rebuilt,
        shown=lambda variables: variables.params,
        training_apply=training_apply,
        has_weights=True,
        chosen=_choose_leaves,
    )


def _choose_leaves(trainable: Any, weights: Params) -> list[bool]:
    """Booleans that say which leaves an Equinox filter (a tree or a function) keeps."""
    import equinox

    def is_none(leaf: Any) -> bool:
        return leaf is None

    try:
        kept = equinox.filter(weights, trainable)
    except (TypeError, ValueError) as error:
        raise InputError(
            "Expected trainable as a filter_spec of Equinox, as equinox.partition takes it: "
            f"{str(error).splitlines()[0]}"
        ) from None
    pairs = zip(
        jax.tree.leaves(weights, is_leaf=is_none),
        jax.tree.leaves(kept, is_leaf=is_none),
        strict=True,
    )
    return [other is not None for one, other in pairs if one is not None]


def _parts(module: Any, kind: type) -> list[Any]:
    """The submodules that are instances of a class."""
    found = jax.tree.leaves(module, is_leaf=lambda one: isinstance(one, kind))
    return [one for one in found if isinstance(one, kind)]
