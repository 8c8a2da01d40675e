"""Recognise the kind of a custom model and turn it into pure functions."""

from __future__ import annotations

from typing import Any

from descend.custom.equinox_models import equinox_model
from descend.custom.flax_models import flax_model, linen_functions
from descend.custom.function_models import function_model
from descend.custom.keras_models import keras_model
from descend.custom.models import CustomModel
from descend.errors import InputError

KINDS = (
    "Expected a model as functions (init, apply), a Flax module (NNX or Linen), an Equinox module, "
    "(module, state) of Equinox, or a Keras model on JAX"
)


def custom_model(model: Any, x: Any) -> CustomModel:
    """A model of any supported kind as pure functions.

    Args:
        model: as `descend.fit` takes it.
        x: a few rows, as the model gets them.

    Raises:
        InputError: it is of another kind, or needs something that is not supported.
    """
    family = family_of(model)
    if family == "functions":
        init, apply = model
        return linen_functions(init, apply, x) or function_model(init, apply)
    if family == "flax":
        return flax_model(model, x)
    return equinox_model(model) if family == "equinox" else keras_model(model, x)


def family_of(model: Any) -> str:
    """`functions`, `flax`, `equinox` or `keras`.

    Raises:
        InputError: none of these.
    """
    if isinstance(model, tuple) and len(model) == 2:
        if "equinox" in _packages_of(model[0]) and "equinox" in _packages_of(model[1]):
            return "equinox"
        if all(callable(part) for part in model):
            return "functions"
    for family in ("flax", "equinox", "keras"):
        if family in _packages_of(model):
            if isinstance(model, type):
                raise InputError(f"{KINDS}; found the class {model.__name__}: make one of it.")
            return family
    if "torch" in _packages_of(model):
        raise InputError(
            f"{KINDS}; found a PyTorch module. descend.torch.advise finds its batch size and "
            "learning rate for a loop of your own."
        )
    raise InputError(f"{KINDS}; found {type(model).__module__}.{type(model).__name__}.")


def _packages_of(model: Any) -> set[str]:
    """The packages that define the class of a model and its bases."""
    kind = model if isinstance(model, type) else type(model)
    return {base.__module__.split(".")[0] for base in kind.__mro__}
