"""Turn functions `(init, apply)` into a custom model, with or without state and random keys."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.custom.models import CustomModel, as_before
from descend.errors import InputError
from descend.types import Array, Params, Variables

STATEFUL_ARGUMENTS = 5
"""The number of arguments of `apply(params, state, x, key, training)`."""


def function_model(init: Callable[..., Any], apply: Callable[..., Any]) -> CustomModel:
    """A custom model from `(init, apply)`, with or without a state and a random key."""
    model = (init, apply)
    if _positional(apply) < STATEFUL_ARGUMENTS:

        def plain_init(seed: int) -> Params:
            params = _begun(init, seed)
            _check_no_linen(params)
            _check_numbers(params)
            return params

        return CustomModel(plain_init, apply, lambda params: model)

    def stateful_init(seed: int) -> Params:
        begun = _begun(init, seed)
        if not (isinstance(begun, tuple) and len(begun) == 2):
            raise InputError(
                "apply(params, state, x, key, training) needs init(key) -> (params, state); found "
                f"an init that returns {type(begun).__name__}."
            )
        params, state = begun
        _check_numbers((params, state))
        return Variables(params, jax.tree.map(jnp.asarray, state))

    def stateful_apply(params: Params, x: Any) -> Any:
        return _pair(apply(*params, x, jax.random.key(0), False))[0]

    def training_apply(weights: Params, state: Any, x: Any, key: Array) -> tuple[Any, Any]:
        outputs, after = _pair(apply(weights, state, x, key, True))
        return outputs, as_before(after, state)

    return CustomModel(stateful_init, stateful_apply, lambda params: model, tuple, training_apply)


def _begun(init: Callable[..., Any], seed: int) -> Any:
    """What `init(key)` gives."""
    try:
        return init(jax.random.key(seed))
    except Exception as error:
        said = next(iter(str(error).splitlines()), "")
        raise InputError(
            f"init(key) of the model fails: {type(error).__name__}: {said}. A model is the pair "
            "(init, apply), in this order: init(key) -> params, apply(params, x) -> outputs."
        ) from error


def _positional(apply: Callable[..., Any]) -> int:
    """The number of positional arguments that a function takes."""
    try:
        parameters = inspect.signature(apply).parameters.values()
    except (TypeError, ValueError):
        return 2
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    named = [one for one in parameters if one.kind in places]
    needed = sum(one.default is inspect.Parameter.empty for one in named)
    if needed > 2 and needed != STATEFUL_ARGUMENTS:
        raise InputError(
            "Expected apply(params, x) -> outputs, or apply(params, state, x, key, training) -> "
            f"(outputs, state); found one of {needed} arguments, "
            f"({', '.join(one.name for one in named)}). Wrap functions of another form, as those "
            "of Haiku: (lambda key: net.init(key, X[:1]), lambda params, x: net.apply(params, "
            "None, x))."
        )
    return STATEFUL_ARGUMENTS if needed == STATEFUL_ARGUMENTS else 2


def _pair(found: Any) -> tuple[Any, Any]:
    if not (isinstance(found, tuple) and len(found) == 2):
        raise InputError(
            "Expected apply(params, state, x, key, training) -> (outputs, state); found one that "
            f"returns {type(found).__name__}."
        )
    return found


def _check_no_linen(params: Any) -> None:
    """Refuse Flax Linen variables whose running means would be trained as weights."""
    if isinstance(params, Mapping) and "params" in params and "batch_stats" in params:
        raise InputError(
            "init gives collections as Flax Linen does (params, batch_stats), and apply(params, x) "
            "would train the running means in batch_stats as weights. Give the Linen module "
            "itself, or (init, module.apply)."
        )


def _check_numbers(tree: Any) -> None:
    """Refuse params and states that hold anything but numbers, and random keys."""
    for leaf in jax.tree.leaves(tree):
        if not hasattr(leaf, "dtype") and not isinstance(leaf, int | float | complex):
            raise InputError(
                f"The params or the state of the model hold {leaf!r}; expected arrays of numbers. "
                "Keep what is not trained out of them, in the function apply."
            )
        if jnp.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key):
            raise InputError(
                "The params or the state of the model hold a random key. Leave it out: "
                "apply(params, state, x, key, training) gets a new one at every update."
            )
