"""Answer parameters and arguments of other libraries' estimators with the names used here."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from descend.data.reading.errors import closest
from descend.peer_names import ABSENT, COUNTERPARTS, HELD_OUT

PARAMETERS = {"epochs": "max_epochs", "seed": "random_state", "validation": "validation_fraction"}
"""Settings whose parameter has scikit-learn's name instead of ours."""


def _elsewhere(name: str) -> str | None:
    """The parameter that means what another library, or `descend.train`, calls by this name."""
    if name in PARAMETERS or name == "class_weights":
        return PARAMETERS.get(name, "class_weight")
    if name in ("early_stop", "early_stopping"):
        return "early_stopping"
    setting = COUNTERPARTS.get(name)
    return None if setting is None else PARAMETERS.get(setting, setting)


def unknown_parameter(estimator: str, name: str, known: Sequence[str]) -> str:
    """What to say about a parameter that an estimator does not have."""
    if name in ABSENT and _elsewhere(name) not in known:
        return f"{estimator} has no {name}: {ABSENT[name]}."
    if name in HELD_OUT:
        return f"{estimator} has no {name}; fit takes validation_data=(X, y) instead."
    here = _elsewhere(name)
    if here is not None and (not known or here in known):
        return f"{estimator} has no {name}; it takes {here} instead."
    near = closest(name, known)
    return f"{estimator} has no parameter {name!r}.{near} It takes {', '.join(known)}."


def _unknown_argument(estimator: type, method: str, name: str, known: Sequence[str]) -> str:
    """What to say about an argument that a method of an estimator does not have."""
    if name in HELD_OUT and "validation_data" in known:
        return f"{method} has no {name}; it takes validation_data=(X, y) instead."
    if _elsewhere(name) == "weight":
        return f"{method} has no {name}; it takes sample_weight instead."
    parameters = inspect.signature(estimator).parameters
    here = name if name in parameters else _elsewhere(name)
    if here in parameters:
        return f"{method} has no {name}; it is a parameter: {estimator.__name__}({here}=...)."
    if name in ABSENT:
        return f"{method} has no {name}: {ABSENT[name]}."
    return f"{method} has no argument {name!r}. It takes {', '.join(known)}."


def answering_names(estimator: type, method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that answers arguments of other libraries with those used here."""
    known = list(inspect.signature(method).parameters)

    @functools.wraps(method)
    def checked(*args: Any, **given: Any) -> Any:
        for name in given:
            if name not in known:
                raise TypeError(_unknown_argument(estimator, method.__name__, name, known[1:]))
        return method(*args, **given)

    return checked
