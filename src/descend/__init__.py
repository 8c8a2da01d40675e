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
    "Comparison": "descend.commands.compare",
    "train": "descend.api",
    "resume": "descend.api",
    "predict": "descend.api",
    "evaluate": "descend.api",
    "fit": "descend.api",
    "landscape": "descend.api",
    "load_model": "descend.api",
    "MiniBatchClassifier": "descend.sklearn.estimators",
    "MiniBatchRegressor": "descend.sklearn.estimators",
    "Model": "descend.model",
    "CustomRun": "descend.custom.result",
    "OwnRun": "descend.custom.result",
    "Evaluation": "descend.runtime.user_callbacks",
    "Run": "descend.runtime.table_run",
    "Settings": "descend.settings",
    "StopReason": "descend.types",
    "DescendError": "descend.errors",
    "InputError": "descend.errors",
    "DataError": "descend.errors",
    "SettingsError": "descend.errors",
    "FileFormatError": "descend.errors",
    "DivergedError": "descend.errors",
    "InterruptedRunError": "descend.errors",
    "LostProcessError": "descend.errors",
}
"""Each public name and the module that defines it."""

__all__ = sorted(_HOMES)  # noqa: PLE0605 - one list, stated once

# For type checkers, which read an alias as public; a test holds it against the list above.
if TYPE_CHECKING:
    from descend.api import advise as advise
    from descend.api import compare as compare
    from descend.api import evaluate as evaluate
    from descend.api import fit as fit
    from descend.api import landscape as landscape
    from descend.api import load_model as load_model
    from descend.api import predict as predict
    from descend.api import resume as resume
    from descend.api import train as train
    from descend.commands.compare import Comparison as Comparison
    from descend.custom.result import CustomRun as CustomRun
    from descend.custom.result import OwnRun as OwnRun
    from descend.errors import DataError as DataError
    from descend.errors import DescendError as DescendError
    from descend.errors import DivergedError as DivergedError
    from descend.errors import FileFormatError as FileFormatError
    from descend.errors import InputError as InputError
    from descend.errors import InterruptedRunError as InterruptedRunError
    from descend.errors import LostProcessError as LostProcessError
    from descend.errors import SettingsError as SettingsError
    from descend.model import Model as Model
    from descend.runtime.table_run import Run as Run
    from descend.runtime.user_callbacks import Evaluation as Evaluation
    from descend.settings import Settings as Settings
    from descend.sklearn.estimators import MiniBatchClassifier as MiniBatchClassifier
    from descend.sklearn.estimators import MiniBatchRegressor as MiniBatchRegressor
    from descend.types import Advice as Advice
    from descend.types import StopReason as StopReason


_MODULES = ("errors", "torch")
"""Modules that the documentation names after `import descend` alone."""


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"descend.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'descend' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
