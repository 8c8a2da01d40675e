"""Custom models as pure functions: JAX functions here, each framework in a file of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.errors import InputError
from descend.training.objective import TrainingApply
from descend.types import Array, Params, Variables

KINDS = (
    "Expected a model as functions (init, apply), a Flax module (NNX or Linen), an Equinox module, "
    "(module, state) of Equinox, or a Keras model on JAX"
)
STATEFUL_ARGUMENTS = 5
"""Of `apply(params, state, x, key, training)`."""


def chosen_leaves(trainable: Any, weights: Params) -> list[bool]:
    """Which leaves of the weights are trained, in their order.

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
    """A model as pure functions, and the way back.

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
    """

    init: Callable[[int], Params]
    apply: Callable[[Params, Any], Any]
    rebuilt: Callable[[Params], Any]
    shown: Callable[[Params], Any] = lambda params: params
    training_apply: TrainingApply | None = None
    penalty: Callable[[Params], Array] | None = None
    has_weights: bool = False
    head: str | None = None
    chosen: Callable[[Any, Params], list[bool]] = chosen_leaves


def custom_model(model: Any, x: Any) -> CustomModel:
    """A model of any kind that is known, with the reason where it cannot be trained.

    Args:
        model: as `descend.fit` takes it.
        x: a few rows, as the model gets them.

    Raises:
        InputError: it is none of these, or asks for something that is not done here.
    """
    family = family_of(model)
    if family == "functions":
        from descend.custom.flax_models import linen_functions

        return linen_functions(*model) or _functions(*model)
    if family == "flax":
        from descend.custom.flax_models import flax_model

        return flax_model(model, x)
    if family == "equinox":
        from descend.custom.equinox_models import equinox_model

        return equinox_model(model)
    from descend.custom.keras_models import keras_model

    return keras_model(model)


def family_of(model: Any) -> str:
    """`functions`, `flax`, `equinox` or `keras`.

    Raises:
        InputError: none of these.
    """
    if isinstance(model, tuple) and len(model) == 2:
        if "equinox" in _families(model[0]) and "equinox" in _families(model[1]):
            return "equinox"
        if all(callable(part) for part in model):
            return "functions"
    for family in ("flax", "equinox", "keras"):
        if family in _families(model):
            if isinstance(model, type):
                raise InputError(f"{KINDS}; found the class {model.__name__}: make one of it.")
            return family
    if "torch" in _families(model):
        raise InputError(
            f"{KINDS}; found a PyTorch module. descend.torch.advise finds its batch size and "
            "learning rate for a loop of your own."
        )
    raise InputError(f"{KINDS}; found {type(model).__module__}.{type(model).__name__}.")


def _families(model: Any) -> set[str]:
    kind = model if isinstance(model, type) else type(model)
    return {base.__module__.split(".")[0] for base in kind.__mro__}


def _functions(init: Callable[..., Any], apply: Callable[..., Any]) -> CustomModel:
    """Functions `(init, apply)`, with a state and a key or without."""
    model = (init, apply)
    if _positional(apply) < STATEFUL_ARGUMENTS:

        def plain_init(seed: int) -> Params:
            params = init(jax.random.key(seed))
            _check_no_linen(params)
            _check_no_keys(params)
            return params

        return CustomModel(plain_init, apply, lambda params: model)

    def stateful_init(seed: int) -> Params:
        begun = init(jax.random.key(seed))
        if not (isinstance(begun, tuple) and len(begun) == 2):
            raise InputError(
                "apply(params, state, x, key, training) needs init(key) -> (params, state); found "
                f"an init that returns {type(begun).__name__}."
            )
        params, state = begun
        _check_no_keys((params, state))
        return Variables(params, jax.tree.map(jnp.asarray, state))

    def stateful_apply(params: Params, x: Any) -> Any:
        return _pair(apply(*params, x, jax.random.key(0), False))[0]

    def training_apply(weights: Params, state: Any, x: Any, key: Array) -> tuple[Any, Any]:
        outputs, after = _pair(apply(weights, state, x, key, True))
        return outputs, as_before(after, state)

    return CustomModel(stateful_init, stateful_apply, lambda params: model, tuple, training_apply)


def _positional(apply: Callable[..., Any]) -> int:
    """How many arguments a function takes by position."""
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
            f"({', '.join(one.name for one in named)})."
        )
    return STATEFUL_ARGUMENTS if needed == STATEFUL_ARGUMENTS else 2


def _pair(found: Any) -> tuple[Any, Any]:
    if not (isinstance(found, tuple) and len(found) == 2):
        raise InputError(
            "Expected apply(params, state, x, key, training) -> (outputs, state); found one that "
            f"returns {type(found).__name__}."
        )
    return found


def as_before(state: Any, before: Any) -> Any:
    """A state after a call with the types that it had before it, so that a loop can hand it on.

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


def _check_no_linen(params: Any) -> None:
    """Refuse variables of Flax Linen whose running means would be trained as weights."""
    if isinstance(params, Mapping) and "params" in params and "batch_stats" in params:
        raise InputError(
            "init gives collections as Flax Linen does (params, batch_stats), and apply(params, x) "
            "would train the running means in batch_stats as weights. Give the Linen module "
            "itself, or (init, module.apply)."
        )


def _check_no_keys(tree: Any) -> None:
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key):
            raise InputError(
                "The params or the state of the model hold a random key. Leave it out: "
                "apply(params, state, x, key, training) gets a new one at every update."
            )


def standing_still(model: CustomModel) -> CustomModel:
    """A model whose state no call changes, with the state as constants."""
    state = model.init(0).state
    return model._replace(
        init=lambda seed: model.init(seed).params,
        apply=lambda params, x: model.apply(Variables(params, state), x),
        rebuilt=lambda params: model.rebuilt(Variables(params, state)),
        shown=lambda params: model.shown(Variables(params, state)),
        training_apply=None,
    )


def copied_tree(tree: Any) -> Any:
    """Copies of the arrays of a tree, whatever becomes of the originals or of the copies.

    `jnp.asarray` would share memory with NumPy's arrays, and a framework may use it up.
    """
    return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), tree)
