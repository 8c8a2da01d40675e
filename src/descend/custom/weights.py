"""Which arrays of a model are trained, and in which precision: float32, whatever they are kept in.

What is not trained (whole numbers, booleans, weights that the user leaves out) is a part of the
state. Weights of 16 bits have a copy of 32 bits that the updates change, since a small step is
lost when it is added to a number of few digits (Micikevicius et al. 2018, arXiv 1710.03740).
Complex weights are trained as their real and imaginary parts: the gradient that JAX gives by a
complex number is the conjugate of the direction in which the loss rises.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.custom.models import CustomModel
from descend.custom.precision import computes_in_float16, in_full, with_scaled_gradients
from descend.errors import InputError, SettingsError
from descend.settings import Settings
from descend.training.losses import Loss
from descend.training.objective import squared_weights
from descend.types import Array, Params, Variables, join_variables, split_variables


def with_trained_weights(
    model: CustomModel, seed: int, trainable: Any = None, x: Any = None
) -> CustomModel:
    """The model with params that hold only the trained weights, in 32 bits.

    Args:
        model: as its framework gives it.
        seed: of the initial weights from which types and shapes are read.
        trainable: which weights to train, as `descend.fit` takes it; None: all.
        x: a few rows, by which layers are found that compute in float16 with wider weights.

    Raises:
        InputError: nothing is left to train, or `trainable` does not fit the weights.
    """
    begun = model.init(seed)
    weights, _ = split_variables(begun)
    has_state = isinstance(begun, Variables)
    leaves, structure = jax.tree.flatten(weights)
    asked = [True] * len(leaves) if trainable is None else model.chosen(trainable, weights)
    trained = [
        want and bool(jnp.issubdtype(jnp.result_type(leaf), jnp.inexact))
        for leaf, want in zip(leaves, asked, strict=True)
    ]
    if not any(trained):
        raise InputError("The model has no weights to train: floats among its params.")
    types = [jnp.result_type(leaf) for leaf in leaves]
    shapes = [np.shape(leaf) for leaf in leaves]
    whole = all(trained)
    narrow = [kind.itemsize < 4 for kind in types]
    scaled = any(kind == jnp.float16 and used for kind, used in zip(types, trained, strict=True))
    if x is not None and not scaled:
        with contextlib.suppress(Exception):  # `probe_model` says what is wrong with a model.
            scaled = computes_in_float16(model.apply, begun, x)

    def separate(params: Params) -> Params:
        weights, state = split_variables(params)
        found = jax.tree.leaves(weights)
        kept = [
            _kept(leaf, jnp.float32 if low else kind) if used else None
            for leaf, used, low, kind in zip(found, trained, narrow, types, strict=True)
        ]
        if whole:
            return join_variables(jax.tree.unflatten(structure, kept), state, params)
        still = [
            None if used else jnp.asarray(leaf) for leaf, used in zip(found, trained, strict=True)
        ]
        return Variables(
            jax.tree.unflatten(structure, kept), (jax.tree.unflatten(structure, still), state)
        )

    def join(weights: Params, still: Any) -> Params:
        """The weights in the form of the model."""
        own = iter(jax.tree.leaves(weights))
        others = iter(jax.tree.leaves(still))
        found = []
        for used, kind, shape in zip(trained, types, shapes, strict=True):
            leaf = next(own) if used else next(others)
            if used and jnp.issubdtype(kind, jnp.complexfloating):
                leaf = _complex(leaf, shape)
            if used and leaf.dtype != kind:
                leaf = leaf.astype(kind)
            found.append(leaf)
        return jax.tree.unflatten(structure, found)

    def original(params: Params) -> Params:
        weights, state = split_variables(params)
        if whole:
            return join_variables(join(weights, ()), state, params)
        still, state = state
        weights = join(weights, still)
        return Variables(weights, state) if has_state else weights

    def apply(params: Params, x: Any) -> Any:
        outputs = model.apply(original(params), x)
        return in_full(outputs)

    def training_apply(weights: Params, state: Any, x: Any, key: Array) -> tuple[Any, Any]:
        assert model.training_apply is not None
        still, inner = ((), state) if whole else state
        outputs, after = model.training_apply(join(weights, still), inner, x, key)
        return in_full(outputs), after if whole else (still, after)

    made = model._replace(
        init=lambda seed: separate(model.init(seed)),
        apply=apply,
        rebuilt=lambda params: model.rebuilt(original(params)),
        shown=lambda params: model.shown(original(params)),
        training_apply=None if model.training_apply is None else training_apply,
    )
    return with_scaled_gradients(made) if scaled else made


def _kept(leaf: Any, kind: Any) -> Array:
    """A copy of a weight as it is trained: of a complex one the real and the imaginary parts.

    Where it has fewer than two axes the parts are joined along one, so that it still counts as a
    bias, which no penalty shrinks; else they have an axis of their own, the last.
    """
    if not jnp.issubdtype(kind, jnp.complexfloating):
        return jnp.array(leaf, kind)
    leaf = jnp.asarray(leaf, kind)
    parts = [jnp.real(leaf), jnp.imag(leaf)]
    if leaf.ndim < 2:
        return jnp.concatenate([part.reshape(-1) for part in parts])
    return jnp.stack(parts, axis=-1)


def _complex(parts: Array, shape: tuple[int, ...]) -> Array:
    """The complex weight of this shape that `_kept` took apart."""
    if len(shape) < 2:
        count = len(parts) // 2
        return (parts[:count] + 1j * parts[count:]).reshape(shape)
    return parts[..., 0] + 1j * parts[..., 1]


def without_idle_weights(
    made: CustomModel,
    loss: Loss,
    x: Any,
    y: Any,
    settings: Settings,
    *,
    own_rule: bool,
) -> tuple[CustomModel, Callable[[Params], Array] | None]:
    """The model with weights that no gradient reaches (`stop_gradient`) as part of its state.

    Otherwise the penalty and the weight decay would move them. A rule of the user's own may have
    masks in the form of all weights, so these stay, and the penalty leaves them out.

    Args:
        made: the model, as `with_trained_weights` gives it.
        loss: of a row.
        x: a few rows, as the model gets them.
        y: their targets.
        settings: seed and penalty.
        own_rule: whether the optimizer comes from the user.

    Returns:
        The model, and a penalty in place of the usual one, or None.

    Raises:
        InputError: no weight has a gradient.
    """
    begun = made.init(settings.seed)
    weights, state = split_variables(begun)

    def mean_loss(weights: Params) -> Array:
        if made.training_apply is not None:
            outputs, _ = made.training_apply(weights, state, x, jax.random.key(0))
        else:
            outputs = made.apply(join_variables(weights, state, begun), x)
        return jnp.mean(loss.per_example(outputs, y))

    reached = _leaves_with_gradient(mean_loss, weights)
    if not any(reached):
        raise InputError(
            "The loss has no gradient by any of the weights, so nothing would be learned. It must "
            "not go through whole numbers, comparisons, jnp.round or jax.lax.stop_gradient, and "
            "must depend on the outputs."
        )
    if all(reached):
        return made, None
    if not own_rule:
        apart = made._replace(chosen=lambda wanted, weights: list(wanted))
        return with_trained_weights(apart, settings.seed, reached), None
    if not settings.l2:
        return made, None

    def penalty(weights: Params) -> Array:
        pairs = zip(jax.tree.leaves(weights), reached, strict=True)
        found = 0.5 * settings.l2 * squared_weights([leaf for leaf, used in pairs if used])
        return found if made.penalty is None else found + made.penalty(weights)

    return made, penalty


def check_penalized(weights: Params, settings: Settings) -> None:
    """Raise SettingsError where a penalty is asked for and there is nothing that it applies to."""
    shapes = [list(leaf.shape) for leaf in jax.tree.leaves(weights)]
    if any(len(shape) > 1 for shape in shapes):
        return
    for name in ("l2", "weight_decay"):
        if getattr(settings, name):
            raise SettingsError(
                f"{name} applies to arrays of two or more dimensions, since those of fewer are "
                f"taken for biases, and this model has none: {', '.join(map(str, shapes[:5]))}. "
                "Give the weights another axis, such as [d, 1] in place of [d], or add the penalty "
                "of your own to the loss."
            )


def _leaves_with_gradient(loss: Callable[[Params], Array], weights: Params) -> list[bool]:
    """Which leaves of the weights a loss depends on; the gradient of others is 0 by construction.

    Such are weights under `jax.lax.stop_gradient`, and those that are not used.
    """
    program = jax.make_jaxpr(jax.grad(loss))(weights).jaxpr
    made_by = {id(variable): step for step in program.eqns for variable in step.outvars}

    def is_zero(variable: Any) -> bool:
        if hasattr(variable, "val"):
            return bool(np.all(np.asarray(variable.val) == 0))
        step = made_by.get(id(variable))
        if step is None:
            return False
        if step.primitive.name == "div":  # Gradients that were scaled on their way are divided.
            return is_zero(step.invars[0])
        kept = ("broadcast_in_dim", "zeros_like", "convert_element_type")
        return step.primitive.name in kept and all(map(is_zero, step.invars))

    return [not is_zero(variable) for variable in program.outvars]
