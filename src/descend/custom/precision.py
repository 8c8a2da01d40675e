"""Computing in 16 bits while the weights that the updates change have 32.

Half the bits are half the memory of what a gradient keeps, and on a GPU several times the
arithmetic. What is summed over many steps, weights, optimizer and running means, stays in float32
(Micikevicius et al. 2018, arXiv 1710.03740).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from descend.custom.families import family_of
from descend.custom.models import CustomModel
from descend.errors import SettingsError
from descend.types import Array, Params, join_variables, split_variables

KINDS = {"bfloat16": jnp.bfloat16, "float16": jnp.float16}
SCALE = 1024.0
"""Gradients within a float16 model are multiplied by it, so that small ones do not become 0."""
PRODUCTS = ("dot_general", "conv_general_dilated")


def kind_of(precision: Any, model: Any) -> Any:
    """The type that a model is asked to compute in; None: that of its layers and weights.

    Raises:
        SettingsError: another word, or a Keras model, whose layers have types of their own.
    """
    if precision is None:
        return None
    if not isinstance(precision, str) or precision not in KINDS:
        raise SettingsError(
            "Expected precision 'bfloat16' or 'float16', in which the model computes while its "
            "weights have 32 bits; leave it out for the types of the model's own layers. Found "
            f"{precision!r}."
        )
    if family_of(model) == "keras":
        raise SettingsError(
            "The layers of a Keras model fix the type that they compute in. Leave precision out, "
            f"and call keras.config.set_dtype_policy('mixed_{precision}') before you make them."
        )
    return KINDS[precision]


def in_precision(model: CustomModel, kind: Any) -> CustomModel:
    """The model computing in 16 bits; its weights, its state and its outputs have 32.

    Args:
        model: as its framework gives it.
        kind: `jnp.bfloat16` or `jnp.float16`.
    """
    scaled = kind == jnp.float16

    def narrow_weights(weights: Params) -> Params:
        cast = cast_and_unscale if scaled else jnp.asarray
        return jax.tree.map(lambda leaf: cast(leaf, kind) if _is_wide(leaf) else leaf, weights)

    def narrow_rows(x: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, kind) if _is_wide(leaf) else leaf, x)

    def apply(params: Params, x: Any) -> Any:
        weights, state = split_variables(params)
        present = join_variables(narrow_weights(weights), state, params)
        return in_full(model.apply(present, narrow_rows(x)), scaled=scaled)

    def training_apply(weights: Params, state: Any, x: Any, key: Array) -> tuple[Any, Any]:
        assert model.training_apply is not None
        found = model.training_apply(narrow_weights(weights), state, narrow_rows(x), key)
        return in_full(found[0], scaled=scaled), found[1]

    return model._replace(
        apply=apply,
        training_apply=None if model.training_apply is None else training_apply,
    )


def check_narrow(apply: Callable[..., Any], params: Params, x: Any, kind: Any) -> None:
    """Raise SettingsError where a model was asked for 16 bits and computes none of its products so.

    Args:
        apply: `(params, x) -> outputs`, as `in_precision` makes it.
        params: its weights.
        x: a few rows.
        kind: that was asked for.
    """
    kinds = set(_kinds_of_products(jax.make_jaxpr(apply)(params, x).jaxpr))
    name = jnp.dtype(kind).name
    if kinds and name not in kinds:
        raise SettingsError(
            f"precision={name!r} changes nothing: weights and inputs come in {name}, and the model "
            f"makes its matrix products in {', '.join(sorted(kinds))}. Leave dtype= of its layers "
            "out, and write x.astype(weights.dtype) where it makes floats of its inputs."
        )


def _kinds_of_products(jaxpr: Any) -> Iterator[str]:
    """The types of the factors of matrix products and convolutions, inner programs included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in PRODUCTS:
            yield jnp.result_type(*(one.aval.dtype for one in equation.invars)).name
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda one: hasattr(one, "eqns")
        ):
            closed = getattr(inner, "jaxpr", inner)
            if hasattr(closed, "eqns"):
                yield from _kinds_of_products(closed)


def _is_wide(leaf: Any) -> bool:
    kind = jnp.result_type(leaf)
    return bool(jnp.issubdtype(kind, jnp.floating)) and kind.itemsize > 2


def in_full(outputs: Any, *, scaled: bool) -> Any:
    """Outputs of 16 bits as float32, for the loss; `scaled` multiplies their gradients."""

    def one(leaf: Any) -> Any:
        leaf = jnp.asarray(leaf)
        if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.dtype.itemsize < 4:
            leaf = leaf.astype(jnp.float32)
        return (
            _scale_gradient(leaf) if scaled and jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
        )

    return jax.tree.map(one, outputs)


@jax.custom_vjp
def _scale_gradient(leaf: Array) -> Array:
    """The value itself; its gradient is multiplied by `SCALE`."""
    return leaf


_scale_gradient.defvjp(lambda leaf: (leaf, None), lambda _, slope: (slope * SCALE,))


def cast_and_unscale(leaf: Array, kind: Any) -> Array:
    """The value in another type; its gradient is divided by `SCALE`, in float32."""

    @jax.custom_vjp
    def cast(leaf: Array) -> Array:
        return leaf.astype(kind)

    cast.defvjp(
        lambda leaf: (leaf.astype(kind), None),
        lambda _, slope: (slope.astype(jnp.float32) / SCALE,),
    )
    found: Array = cast(leaf)
    return found
