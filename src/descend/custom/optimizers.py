"""The optimizer of a custom model: a name, an Optax transformation, or a function of the rate."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from descend.errors import InputError
from descend.settings import Settings
from descend.training.jax_setup import jit_program
from descend.training.step import make_apply
from descend.types import Array, Params

PROBED_UPDATES = 6
OTHER_RATE = 0.01
STEEP = 1e3
"""Size of gradients beside which noise and decay that a rule adds are small."""
MOST_APART, ROUNDING = 0.01, 1e-5
"""How far two ways may part, as fractions of the way and of the weights, and still be the same."""
EXPECTED = (
    "Expected as optimizer the name of an update rule, an Optax transformation such as "
    "optax.adam(1e-3), or a function of the learning rate such as optax.adam"
)


def custom_rule(
    optimizer: Any, settings: Settings
) -> tuple[optax.GradientTransformation | None, Settings]:
    """The optimizer that the user passed, or None; one with its own rate is multiplied by 1.

    Raises:
        InputError: it is none.
    """
    if isinstance(optimizer, str):
        return None, settings
    if isinstance(optimizer, optax.MultiSteps):
        optimizer = optimizer.gradient_transformation()
    if isinstance(optimizer, optax.GradientTransformation):
        rate = 1.0 if settings.learning_rate == "auto" else settings.learning_rate
        warmup = 0.0 if settings.warmup == "auto" else settings.warmup  # It has its own course.
        return optimizer, settings.replace(learning_rate=rate, warmup=warmup)
    module = type(optimizer).__module__.split(".")[0]
    if module in ("torch", "keras"):
        raise InputError(f"{EXPECTED}; found {type(optimizer).__name__} of {module}.")
    if callable(optimizer):
        name = getattr(optimizer, "__name__", repr(optimizer))
        try:
            made = optimizer(1.0)
        except Exception as error:
            raise InputError(
                f"{EXPECTED}; {name}(1.0) fails: {type(error).__name__}: {error}"
            ) from error
        if isinstance(made, optax.MultiSteps):
            made = made.gradient_transformation()
        if isinstance(made, optax.GradientTransformation):
            return made, settings
        raise InputError(f"{EXPECTED}; {name}(1.0) gives {type(made).__name__}.")
    raise InputError(f"{EXPECTED}; found {optimizer!r}.")


def check_in_proportion(
    optimizer: Any, rule: optax.GradientTransformation, weights: Params
) -> None:
    """Raise InputError if a function of the rate gives updates that are not in proportion to it.

    The rate is found by multiplying the updates of `optimizer(1.0)`. What would be found for
    another function is not its rate.

    Args:
        optimizer: as the user gave it; only functions are looked at.
        rule: what it gives for the rate 1.
        weights: that it is to update.
    """
    if isinstance(optimizer, str | optax.MultiSteps | optax.GradientTransformation):
        return
    other = optimizer(OTHER_RATE)
    if isinstance(other, optax.MultiSteps):
        other = other.gradient_transformation()

    def path(rule: optax.GradientTransformation, rate: float, weights: Params) -> Params:
        apply_gradient = make_apply(rule)

        def update(carry: Any, number: Array) -> tuple[Any, None]:
            gradient = jax.tree.map(lambda leaf: _pattern(leaf, number), carry[0])
            return apply_gradient(carry, jnp.float32(1), gradient, jnp.float32(rate), ()), None

        begun = (weights, rule.init(weights))
        (moved, _), _ = jax.lax.scan(update, begun, 1.0 + jnp.arange(PROBED_UPDATES))
        return moved

    def lengths(weights: Params) -> Array:
        one, two = path(rule, OTHER_RATE, weights), path(other, 1.0, weights)
        leaves = zip(*map(jax.tree.leaves, (one, two, weights)), strict=True)
        squares = [
            [jnp.sum(jnp.square(jnp.abs(part))) for part in (a - b, b - begun, begun)]
            for a, b, begun in leaves
        ]
        return jnp.sqrt(jnp.sum(jnp.asarray(squares, jnp.float32), axis=0))

    apart, moved, size = np.asarray(jit_program(lengths)(weights))
    if np.isfinite(moved) and not apart <= MOST_APART * moved + ROUNDING * size:
        name = str(getattr(optimizer, "__name__", "<function>"))
        example = f", such as optimizer={name}({OTHER_RATE})" if name.isidentifier() else ""
        raise InputError(
            f"The updates of the optimizer {name} are not in proportion to the learning rate "
            f"({OTHER_RATE} times those at the rate 1 are not those at {OTHER_RATE}), so the rate "
            "cannot be found by measuring. Give the optimizer with its rate in place of a "
            f"function of it{example}."
        )


def check_descends(rule: optax.GradientTransformation, weights: Params) -> None:
    """Raise InputError if an optimizer moves weights up the gradient, and not down.

    Optax leaves the sign to the transformation: `optax.identity()` or `optax.clip(1.0)` by itself
    adds the gradient, and `optax.masked` does so for the weights that it leaves out.

    Args:
        rule: a user's.
        weights: that it is to update.
    """
    supported = optax.with_extra_args_support(rule)

    def products(weights: Params) -> Array:
        """The inner products of updates and gradients, for each update and array of weights."""
        gradient = jax.tree.map(lambda leaf: STEEP * _pattern(leaf, jnp.float32(1)), weights)

        def update(carry: Any, _: None) -> tuple[Any, Array]:
            moved, state = carry
            direction, state = supported.update(gradient, state, moved, value=jnp.float32(1))
            pairs = zip(*map(jax.tree.leaves, (direction, gradient)), strict=True)
            found = [jnp.sum(jnp.real(one * jnp.conj(two))) for one, two in pairs]
            moved = jax.tree.map(lambda leaf, by: (leaf + by).astype(leaf.dtype), moved, direction)
            return (moved, state), jnp.stack(found)

        return jax.lax.scan(update, (weights, supported.init(weights)), None, PROBED_UPDATES)[1]

    up = (np.asarray(jit_program(products)(weights)) > 0).all(axis=0)
    if up.any():
        paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(weights)[0]]
        named = jax.tree_util.keystr(paths[int(np.argmax(up))], simple=True, separator="/")
        what = "the weights" if up.all() else f"some weights ({named or 'the first'})"
        raise InputError(
            f"The Optax transformation moves {what} up the gradient, so that the loss would grow. "
            "Updates are added: end a chain with optax.scale(-learning_rate) or a rule such as "
            "optax.sgd. optax.masked adds the gradients of what it leaves out: "
            "optax.multi_transform with optax.set_to_zero() keeps weights as they are."
        )


def _pattern(leaf: Array, number: Array) -> Array:
    """Numbers between -1 and 1 in the form of some weights, other ones for each number."""
    places = 1.0 + jnp.arange(leaf.size, dtype=jnp.float32).reshape(leaf.shape)
    return jnp.cos(number * places).astype(leaf.dtype)


def check_rule(rule: optax.GradientTransformation, weights: Params) -> None:
    """Raise InputError if an optimizer needs more than the gradient and the loss for an update.

    Args:
        rule: a user's.
        weights: that it is to update.
    """
    supported = optax.with_extra_args_support(rule)

    def update(weights: Params) -> Any:
        gradient = jax.tree.map(jnp.ones_like, weights)
        return supported.update(gradient, supported.init(weights), weights, value=jnp.float32(1))

    try:
        direction, state = jax.eval_shape(update, weights)
        begun = jax.eval_shape(supported.init, weights)
        shapes = [_shapes(one) for one in (direction, weights, state, begun)]
    except Exception as error:
        raise InputError(
            f"The Optax transformation cannot be used: {_reason(error)} It gets "
            "update(gradient, state, params, value=loss) for each mini-batch."
        ) from error
    if shapes[0] != shapes[1] or shapes[2] != shapes[3]:
        raise InputError(
            "The Optax transformation gives updates or a state of another form than the weights "
            "have; labels and masks must have the form of run.params."
        )


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else ""
    if "value_fn" in text:
        return (
            "it searches along a line and needs the objective itself (value_fn), which a "
            "mini-batch does not give; take optax.sgd with momentum, or optax.adam."
        )
    if "fast" in text or "slow" in text or "Lookahead" in text:
        return "optax.lookahead keeps two sets of weights; averaging=True keeps their mean here."
    if "grad_fn" in text or "transparent_update_fn" in text:
        return (
            "optax.contrib.sam needs gradients at two places for an update; one is computed here."
        )
    if "'str' and" in text:
        return "labels that are a module are called by Optax: give lambda params: labels."
    return f"{type(error).__name__}: {text[:300]}."


def _shapes(tree: Any) -> Any:
    return jax.tree.structure(tree), [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]
