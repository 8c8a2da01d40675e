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
import numpy as np
from jax.custom_derivatives import SymbolicZero

from descend.custom.families import family_of
from descend.custom.models import CustomModel
from descend.errors import SettingsError
from descend.types import Array, Params, join_variables, split_variables

KINDS = {"bfloat16": jnp.bfloat16, "float16": jnp.float16}
GRADIENTS = 1024.0
"""The gradients that come into a float16 model from the loss are multiplied by a power of two with
which their sizes add up to about this: small ones do not become 0, and a sum over the rows times
what a layer gets stays below 65504."""
SMALLER, TRIES = 4, 7
"""A gradient that overflows within the model is computed again with a factor that is smaller by
2^4, up to so many times in all: the last factors leave of a gradient what float16 has below 1e-4.
"""
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

    def narrow(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, kind) if _is_wide(leaf) else leaf, tree)

    def apply(params: Params, x: Any) -> Any:
        weights, state = split_variables(params)
        return in_full(model.apply(join_variables(narrow(weights), state, params), narrow(x)))

    def training_apply(weights: Params, state: Any, x: Any, key: Array) -> tuple[Any, Any]:
        assert model.training_apply is not None
        outputs, after = model.training_apply(narrow(weights), state, narrow(x), key)
        return in_full(outputs), after

    made = model._replace(
        apply=apply,
        training_apply=None if model.training_apply is None else training_apply,
    )
    return with_scaled_gradients(made) if kind == jnp.float16 else made


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
    for inner in _inner_programs(jaxpr):
        yield from _kinds_of_products(inner)


def _inner_programs(jaxpr: Any) -> Iterator[Any]:
    """The programs that a program calls: of functions, loops and branches."""
    for equation in jaxpr.eqns:
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda one: hasattr(one, "eqns")
        ):
            closed = getattr(inner, "jaxpr", inner)
            if hasattr(closed, "eqns"):
                yield closed


def _is_wide(leaf: Any) -> bool:
    kind = jnp.result_type(leaf)
    return bool(jnp.issubdtype(kind, jnp.floating)) and kind.itemsize > 2


def in_full(outputs: Any) -> Any:
    """Outputs of 16 bits as float32, for the loss."""

    def one(leaf: Any) -> Any:
        leaf = jnp.asarray(leaf)
        narrow = jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.dtype.itemsize < 4
        return leaf.astype(jnp.float32) if narrow else leaf

    return jax.tree.map(one, outputs)


def computes_in_float16(apply: Callable[..., Any], params: Params, x: Any) -> bool:
    """Whether any number that a model computes is a float16, its outputs in float32 or not."""

    def found(jaxpr: Any) -> bool:
        made = (one.aval for equation in jaxpr.eqns for one in equation.outvars)
        return any(getattr(one, "dtype", None) == jnp.float16 for one in made) or any(
            map(found, _inner_programs(jaxpr))
        )

    return found(jax.make_jaxpr(apply)(params, x).jaxpr)


def with_scaled_gradients(model: CustomModel) -> CustomModel:
    """The same model, whose gradients float16 can hold.

    Gradients that are too small for it become 0, and those that are too large infinite. Those that
    the loss gives to the outputs are scaled by a power of two, which loses nothing, and those of
    the weights, in float32, are scaled back. The power is found anew at every call, and where a
    gradient of the weights is not finite, it is computed again with a smaller one. So nothing is
    skipped, and nothing has to be remembered from one batch to the next.
    """

    def apply(params: Params, x: Any) -> Any:
        return _scaled(lambda params, x: (model.apply(params, x), ()), (params, x))[0]

    def training_apply(weights: Params, state: Any, x: Any, key: Array) -> tuple[Any, Any]:
        assert model.training_apply is not None
        found: tuple[Any, Any] = _scaled(model.training_apply, (weights, state, x, key))
        return found

    return model._replace(
        apply=apply,
        training_apply=None if model.training_apply is None else training_apply,
    )


def _scaled(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """`call(*arguments) -> (outputs, state)`, with gradients that are scaled on their way."""
    leaves, structure = jax.tree.flatten(arguments)
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    smooth = [bool(jnp.issubdtype(leaf.dtype, jnp.inexact)) for leaf in leaves]

    def program(floats: list[Array], others: list[Array]) -> Any:
        one, other = iter(floats), iter(others)
        given = [next(one if is_smooth else other) for is_smooth in smooth]
        return call(*jax.tree.unflatten(structure, given))

    @jax.custom_vjp
    def scaled(floats: list[Array], others: list[Array]) -> Any:
        return program(floats, others)

    def forward(floats: Any, others: Any) -> Any:
        # Of rows no gradient is wanted: a second try would compute it in vain.
        asked = [one.perturbed for one in floats]
        values, still = ([one.value for one in part] for part in (floats, others))

        def of_those_asked(moved: list[Array]) -> Any:
            given = iter(moved)
            chosen = zip(values, asked, strict=True)
            return program([next(given) if one else value for value, one in chosen], still)

        moved = [value for value, one in zip(values, asked, strict=True) if one]
        outputs, pull, state = jax.vjp(of_those_asked, moved, has_aux=True)
        return (outputs, state), (pull, [() if one else None for one in asked])

    def backward(kept: Any, slopes: Any) -> Any:
        pull, asked = kept
        found = iter(_pulled(pull, jax.tree.map(_instantiated, slopes[0])))
        return [None if one is None else next(found) for one in asked], None

    scaled.defvjp(forward, backward, symbolic_zeros=True)
    others = [leaf for leaf, is_smooth in zip(leaves, smooth, strict=True) if not is_smooth]
    return scaled([leaf for leaf, used in zip(leaves, smooth, strict=True) if used], others)


def _pulled(pull: Callable[[Any], tuple[list[Array]]], slopes: Any) -> list[Array]:
    """The gradients of weights from those of outputs, by the largest factor tried that fits.

    Args:
        pull: gradients of outputs to gradients of weights, within which float16 may overflow.
        slopes: gradients of the outputs.
    """
    given, form = jax.tree.flatten(slopes)
    used = [jnp.issubdtype(one.dtype, jnp.inexact) for one in given]
    size = sum(
        (jnp.sum(jnp.abs(one)) for one, is_used in zip(given, used, strict=True) if is_used),
        start=jnp.float32(0),
    )
    ordinary = jnp.isfinite(size) & (size > 0)
    first = jnp.where(ordinary, jnp.clip(jnp.floor(jnp.log2(GRADIENTS / size)), -100, 100), 0.0)

    def tried(power: Array) -> list[Array]:
        scale = jnp.exp2(power)
        raised = [
            (one * scale).astype(one.dtype) if is_used else one
            for one, is_used in zip(given, used, strict=True)
        ]
        (found,) = pull(jax.tree.unflatten(form, raised))
        return [(one / scale).astype(one.dtype) for one in found]

    def again(state: tuple[Array, list[Array], Array]) -> tuple[Array, list[Array], Array]:
        power, _, _ = state
        found = tried(power)
        fits = jnp.stack([jnp.isfinite(one).all() for one in found]).all()
        smaller = power - SMALLER
        return smaller, found, ~fits & ordinary & (smaller > first - TRIES * SMALLER)

    nothing = [jnp.zeros(one.shape, one.dtype) for one in jax.eval_shape(tried, first)]
    _, found, _ = jax.lax.while_loop(lambda state: state[2], again, (first, nothing, jnp.bool_(1)))
    return found


def _instantiated(slope: Any) -> Any:
    """A gradient of outputs that nothing uses, as the zeros it stands for."""
    if not isinstance(slope, SymbolicZero):
        return slope
    if slope.dtype == jax.dtypes.float0:
        return np.zeros(slope.shape, jax.dtypes.float0)
    return jnp.zeros(slope.shape, slope.dtype)
