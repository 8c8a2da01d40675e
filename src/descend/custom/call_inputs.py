"""How the inputs of a row reach the call of a module: as one argument, or as one each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

TRAINING_FLAGS = {
    "train": True,
    "training": True,
    "is_training": True,
    "deterministic": False,
    "use_running_average": False,
    "inference": False,
    "eval": False,
}
"""Arguments by which modules are told that they are trained, with their value then."""
NO_INPUTS = {*TRAINING_FLAGS, "rngs"}
"""Arguments that are not made of rows."""
KEY_AND_STATE = ("key", "state")
"""Further ones in Equinox; elsewhere only where they may be left out."""

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def training_flags(call: Callable[..., Any]) -> dict[str, bool]:
    """The arguments that switch a module to training mode, with their values."""
    names = inspect.signature(call).parameters
    return {name: value for name, value in TRAINING_FLAGS.items() if name in names}


def arguments_of(
    call: Callable[..., Any], *, key_and_state: bool = False
) -> Callable[[Any], Arguments]:
    """How a call gets its inputs.

    A call that takes several inputs gets those of a tuple or a list by place, and those of a
    mapping of two or more by name. Any other gets them as they are, in one argument. Inputs are
    the arguments without a default, and those whose default is None, such as a mask.

    Args:
        call: of the module, bound to it.
        key_and_state: whether `key` and `state` are never inputs, as in Equinox.

    Returns:
        `inputs -> (arguments, named arguments)`.
    """
    empty = inspect.Parameter.empty
    inputs = {
        name: one
        for name, one in inspect.signature(call).parameters.items()
        if name not in NO_INPUTS
        and (one.default is empty or one.default is None)
        and not (name in KEY_AND_STATE and (key_and_state or one.default is None))
    }
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    placed = [one for one in inputs.values() if one.kind in places]
    needed = [one.name for one in placed if one.default is empty]
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = {name for name, one in inputs.items() if one.kind not in several}

    def arguments(x: Any) -> Arguments:
        if isinstance(x, tuple | list) and max(2, len(needed)) <= len(x) <= len(placed):
            return tuple(x), {}
        if isinstance(x, Mapping) and len(x) > 1 and set(needed) <= set(x) <= named:
            return (), dict(x)
        return (x,), {}

    return arguments
