"""The schema of a sparse matrix of numbers, learned from its entries alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descend.data.schema.arrays import number_columns
from descend.data.schema.columns import Column
from descend.errors import DataError


def columns_from_sparse(
    X: Any, weight: NDArray[np.float64], feature_names: Sequence[str] | None = None
) -> tuple[Column, ...]:
    """The columns that `columns_from_array` would learn from the same matrix made dense.

    Args:
        X: `[rows, columns]`, a SciPy matrix in CSR form without duplicate entries; what is not
            stored is 0, a stored NaN is missing.
        weight: `[rows]`, above 0: mean and deviation are weighted by it.
        feature_names: names of the columns; None: `x0`, `x1`, ...

    Raises:
        DataError: an infinite value, or no column to learn from.
    """
    rows, width = X.shape
    names = list(feature_names or [f"x{place}" for place in range(width)])
    values = np.asarray(X.data, np.float64)
    infinite = np.isinf(values)
    if infinite.any():
        entry = int(np.flatnonzero(infinite)[0])
        row = int(np.searchsorted(X.indptr, entry, side="right")) - 1
        raise DataError(
            f"Column {names[X.indices[entry]]!r} has the value {values[entry]} in row {row + 1}; "
            "expected finite numbers. Use NaN for a missing value."
        )
    present = ~np.isnan(values)
    column, values = X.indices[present], values[present]
    missing = np.bincount(X.indices[~present], minlength=width)
    stored = np.bincount(column, minlength=width)
    of_entry = np.repeat(weight, np.diff(X.indptr))

    def total(amounts: NDArray[np.float64], of: NDArray[Any] = column) -> NDArray[np.float64]:
        return np.asarray(np.bincount(of, weights=amounts, minlength=width), np.float64)

    absent = total(of_entry[~present], X.indices[~present])
    of_entry = of_entry[present]
    zeros = np.maximum(weight.sum() - absent - total(of_entry), 0.0)
    # A column without zeros has none, whatever rounding leaves of their weight.
    zeros[stored + missing == rows] = 0.0
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    np.minimum.at(low, column, values)
    np.maximum.at(high, column, values)
    some = stored + missing < rows
    low[some], high[some] = np.minimum(low[some], 0.0), np.maximum(high[some], 0.0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        share = total(of_entry) + zeros
        mean = total(of_entry * values) / share
        squares = total(of_entry * (values - mean[column]) ** 2) + zeros * mean * mean
        deviation = np.sqrt(squares / share)
    return number_columns(names, rows - missing, missing, mean, deviation, low, high)
