"""The optimizer of a custom model: a name, an Optax transformation, or a function of the rate."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from descend.errors import InputError
from descend.settings import Settings
from descend.types import Params

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
