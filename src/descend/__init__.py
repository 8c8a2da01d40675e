# ruff: noqa: F401
"""Mini-batch gradient descent for tables of any size.

Importing this package imports neither JAX nor DuckDB; the public names are loaded when used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "advise": "descend.api",
    "Advice": "descend.types",
    "compare": "descend.api",
    "Comparison": "descend.jobs.compare",
    "train": "descend.api",
    "resume": "descend.api",
    "predict": "descend.api",
    "evaluate": "descend.api",
    "fit": "descend.api",
    "load_model": "descend.api",
    "MiniBatchClassifier": "descend.estimators",
    "MiniBatchRegressor": "descend.estimators",
    "Model": "descend.model",
    "Run": "descend.jobs.train",
    "Settings": "descend.settings",
    "StopReason": "descend.types",
    "DescendError": "descend.errors",
    "InputError": "descend.errors",
    "DataError": "descend.errors",
    "SettingsError": "descend.errors",
    "FileFormatError": "descend.errors",
    "DivergedError": "descend.errors",
    "InterruptedRunError": "descend.errors",
}
"""Each public name and the module that defines it."""

__all__ = sorted(_HOMES)  # noqa: PLE0605 - one list, stated once

# For type checkers; a test holds it against the list above.
if TYPE_CHECKING:
    from descend.api import advise, compare, evaluate, fit, load_model, predict, resume, train
    from descend.errors import (
        DataError,
        DescendError,
        DivergedError,
        FileFormatError,
        InputError,
        InterruptedRunError,
        SettingsError,
    )
    from descend.estimators import MiniBatchClassifier, MiniBatchRegressor
    from descend.jobs.compare import Comparison
    from descend.jobs.train import Run
    from descend.model import Model
    from descend.settings import Settings
    from descend.types import Advice, StopReason


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'descend' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
