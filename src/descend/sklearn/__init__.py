"""Estimators that follow the conventions of scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from descend.sklearn.estimators import MiniBatchClassifier as MiniBatchClassifier
    from descend.sklearn.estimators import MiniBatchRegressor as MiniBatchRegressor

__all__ = ["MiniBatchClassifier", "MiniBatchRegressor"]


def __getattr__(name: str) -> Any:
    """Import the estimators when they are used: with them come JAX and scikit-learn."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from descend.sklearn import estimators

    return getattr(estimators, name)
