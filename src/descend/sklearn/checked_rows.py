"""The rows that an estimator is given, checked as scikit-learn's conventions ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted, validate_data

from descend.sklearn.settings_of import categories_of
from descend.sklearn.validation import as_read, holds_words, read_array, read_targets

if TYPE_CHECKING:
    from descend.sklearn.base import MiniBatchEstimator


def check_rows(
    estimator: MiniBatchEstimator,
    X: Any,
    y: Any,
    *,
    reset: bool,
    multi_output: bool = False,
    y_numeric: bool = False,
) -> tuple[Any, Any]:
    """X as an array of numbers, or as the frame it is where it holds text or dates."""
    X, y = read_array(X, "X", missing=True), read_targets(y)
    shape: tuple[int, ...] = getattr(X, "shape", ())
    if reset and len(shape) == 2 and shape[0] == 1:
        raise ValueError(
            "Found 1 sample (n_samples = 1); fit and the first partial_fit learn from their "
            "rows how to scale them, and need at least 2. Collect some rows first."
        )
    if not _reads_frame(estimator, X):
        X, y = validate_data(
            estimator,
            X,
            y,
            accept_sparse="csr",
            reset=reset,
            dtype="numeric",
            ensure_all_finite="allow-nan",
            ensure_min_samples=2 if reset else 1,
            multi_output=multi_output,
            y_numeric=y_numeric,
        )
        return as_read(X, estimator.model), y.toarray() if issparse(y) else y
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    y = check_array(y, ensure_2d=False, dtype="numeric" if y_numeric else None, input_name="y")
    check_consistent_length(X, y)
    return X, y


def check_new_rows(estimator: MiniBatchEstimator, X: Any) -> Any:
    """Rows to predict, checked against those of `fit`."""
    check_is_fitted(estimator, "model_")
    X = read_array(X, "X", missing=True)
    if _reads_frame(estimator, X):
        validate_data(estimator, X, reset=False, skip_check_array=True)
    else:
        _check_array_of_words(estimator, X)
        X = validate_data(
            estimator,
            X,
            accept_sparse="csr",
            reset=False,
            dtype="numeric",
            ensure_all_finite="allow-nan",
        )
    return X


def _check_array_of_words(estimator: MiniBatchEstimator, X: Any) -> None:
    """Refuse an array of objects or text where `fit` had a frame with such columns."""
    if not isinstance(X, np.ndarray) or X.dtype.kind not in "OUS":
        return
    kinds = {one.name: one.kind for one in estimator.model_.schema.columns}
    worded = [name for name, kind in kinds.items() if kind in ("category", "datetime")]
    if worded:
        raise ValueError(
            f"fit had a frame whose columns {', '.join(map(repr, worded[:5]))} hold text, "
            f"dates or categories; found an array. Give a frame with the columns "
            f"{', '.join(list(kinds)[:20])}."
        )


def _reads_frame(estimator: MiniBatchEstimator, X: Any) -> bool:
    """Whether X is read as a frame, column by column, and not as an array of numbers.

    Raises:
        ValueError: `categorical` names columns, and X has none of this name.
    """
    named = categories_of(estimator)
    if not named:
        return holds_words(X)
    if not hasattr(X, "columns"):
        raise ValueError(
            f"categorical={list(named)} names columns of a frame; found {type(X).__name__}."
        )
    lost = [name for name in named if name not in set(map(str, X.columns))]
    if lost:
        raise ValueError(
            f"categorical names {lost[0]!r}, which is no column of X; it has "
            f"{', '.join(map(str, list(X.columns)[:10]))}."
        )
    return True
