"""Keras models on JAX as pure functions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from descend.custom.models import CustomModel, as_before, copy_tree
from descend.errors import InputError, warn_user
from descend.peer_names import LOSS_NAMES, plain_name
from descend.types import Array, Params, Variables

CROSS_ENTROPIES = ("cross_entropy", "binary_cross_entropy")


def keras_model(model: Any, x: Any) -> CustomModel:
    """Turn a built Keras model on the JAX backend into a custom model.

    Its weight regularizers are obeyed. Dropout gets a key for each update, batch normalization
    keeps its running means; layers with `trainable=False` keep their weights. A layer that assigns
    its weights during a training call, such as SpectralNormalization, predicts with what it would
    assign.

    Args:
        model: the model.
        x: a few rows, as the model gets them.

    Raises:
        InputError: another backend, no weights yet, constraints, or losses that a call adds.
    """
    import keras

    if keras.backend.backend() != "jax":
        raise InputError(
            f"Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=jax before importing it."
        )
    if not model.built:
        raise InputError("The Keras model has no weights yet; begin it with keras.Input(shape).")
    for variable in model.trainable_variables:
        if getattr(variable, "constraint", None) is not None:
            raise InputError(
                f"The Keras variable {variable.path} has a constraint, which is not obeyed here. "
                "Leave it out, or put a projection into the Optax transformation (optax.keep_params"
                "_nonnegative)."
            )
    leaves = copy_tree([one.value for one in model.trainable_variables])
    # Seeds of random layers are made anew of the key of each update.
    seeds = {id(one.state) for one in _seed_generators(model)}
    random = [id(one) in seeds for one in model.non_trainable_variables]
    held = copy_tree([one.value for one in model.non_trainable_variables])

    row = jax.tree.map(lambda one: one[:1], x)
    assigns: list[bool] = []

    def find_assigned(weights: Params, state: Any) -> Array:
        before, after = _weights_of_a_training_call(model, weights, state, row)
        assigns.extend(old is not new for old, new in zip(before, after, strict=True))
        return jnp.zeros(())

    jax.eval_shape(find_assigned, leaves, held)

    def predicting(variables: Params) -> Params:
        """The weights that a training call computes with."""
        if not any(assigns):
            return variables.params
        _, after = _weights_of_a_training_call(model, variables.params, variables.state, row)
        pairs = zip(variables.params, after, assigns, strict=True)
        return [new if assigned else old for old, new, assigned in pairs]

    def call(weights: Params, state: Any, x: Any, training: bool) -> tuple[Any, Any]:
        told = _told(model, training)
        found: tuple[Any, Any] = model.stateless_call(weights, state, x, **told)
        return found

    def apply(variables: Params, x: Any) -> Any:
        return call(predicting(variables), variables.state, x, False)[0]

    def training_apply(weights: Params, state: Any, x: Any, key: Array) -> tuple[Any, Any]:
        seeded = [
            jax.random.key_data(jax.random.fold_in(key, place)).astype(value.dtype)
            if is_seed
            else value
            for place, (value, is_seed) in enumerate(zip(state, random, strict=True))
        ]
        outputs, after = call(weights, seeded, x, True)
        kept = [
            old if is_seed else new for old, new, is_seed in zip(state, after, random, strict=True)
        ]
        return outputs, as_before(kept, state)

    def rebuilt(variables: Params) -> Any:
        pairs = (
            *zip(model.trainable_variables, predicting(variables), strict=True),
            *zip(model.non_trainable_variables, variables.state, strict=True),
        )
        for variable, value in pairs:
            # Keras may use up its arrays; they are no one else's.
            variable.assign(jnp.array(value, copy=True))
        return model

    return CustomModel(
        init=lambda seed: copy_tree(Variables(leaves, held)),
        apply=apply,
        rebuilt=rebuilt,
        shown=lambda variables: variables.params,
        training_apply=training_apply,
        penalty=_penalty(model),
        has_weights=True,
        head=_head(model),
        chosen=_no_choice,
        fills=True,
    )


def _weights_of_a_training_call(
    model: Any, weights: Params, state: Any, x: Any
) -> tuple[list[Any], list[Any]]:
    """The trainable variables before and after a training call, which may assign them."""
    import keras

    mapping = [
        *zip(model.trainable_variables, weights, strict=True),
        *zip(model.non_trainable_variables, state, strict=True),
    ]
    with keras.StatelessScope(state_mapping=mapping) as scope:
        before = [scope.get_current_value(one) for one in model.trainable_variables]
        model(x, **_told(model, True))
        after = [scope.get_current_value(one) for one in model.trainable_variables]
    return before, after


def _told(model: Any, training: bool) -> dict[str, bool]:
    """The argument that says whether a model is trained, if its call has one.

    Keras adds it to the layers in the call by itself, and refuses it where a call of the user's
    has none.
    """
    return {"training": training} if getattr(model, "_call_has_training_arg", True) else {}


def _no_choice(trainable: Any, weights: Params) -> list[bool]:
    raise InputError("Keras marks what is trained itself: set layer.trainable = False.")


def check_no_added_losses(model: Any, variables: Params, x: Any) -> None:
    """Raise InputError if calling a Keras model adds losses (`add_loss`, activity regularizers)."""
    *_, losses = model.stateless_call(
        variables.params, variables.state, x, return_losses=True, **_told(model, True)
    )
    if len(losses) > sum(_is_regularized(one) for one in model.trainable_variables):
        raise InputError(
            "A layer of the Keras model adds a loss of its own (add_loss or activity_regularizer), "
            "which is not obeyed here. Return what it is made of as an output, and put it into "
            "loss=(outputs, y) -> [B]."
        )


def warn_of_compiled_loss(model: Any, chosen: str | None) -> None:
    """Warn where no loss was named, and `model.compile` had been told of another one.

    Args:
        model: the Keras model.
        chosen: the name of the loss that is minimized.
    """
    given = getattr(model, "loss", None) if getattr(model, "compiled", False) else None
    if given is None:
        return
    named = given if isinstance(given, str) else getattr(given, "__name__", type(given).__name__)
    name = LOSS_NAMES.get(plain_name(named), named)
    if name == chosen or (name in CROSS_ENTROPIES and chosen in CROSS_ENTROPIES):
        return
    warn_user(
        f"The Keras model was compiled with loss {named!r}, which is not read here: without loss= "
        f"it is {chosen!r}. Say which of them is meant: loss={name!r} or loss={chosen!r}.",
        UserWarning,
    )


def _penalty(model: Any) -> Any:
    """The weight regularizers as one function of the weights; None without any."""
    regularizers = [
        one.regularizer if _is_regularized(one) else None for one in model.trainable_variables
    ]
    if not any(regularizers):
        return None

    def penalty(weights: Params) -> Array:
        pairs = zip(regularizers, weights, strict=True)
        return sum((rule(one) for rule, one in pairs if rule is not None), start=jnp.float32(0))

    return penalty


def _is_regularized(variable: Any) -> bool:
    return getattr(variable, "regularizer", None) is not None


def _seed_generators(model: Any) -> list[Any]:
    layers = model._flatten_layers(include_self=True, recursive=True)
    return [one for layer in layers for one in layer._seed_generators]


def _head(model: Any) -> str | None:
    """The activation of the last layer, or None."""
    layers = getattr(model, "layers", None)
    if not layers or len(getattr(model, "outputs", None) or [0]) > 1:
        return None
    last = layers[-1]
    if type(last).__name__ in ("Softmax", "Sigmoid"):
        return type(last).__name__.lower()
    return getattr(getattr(last, "activation", None), "__name__", None)
