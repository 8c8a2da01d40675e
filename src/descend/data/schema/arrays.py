"""The schema of a 2-D array of numbers, learned without DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descend.data.schema.columns import Column, LeftOutColumn, NumberColumn
from descend.errors import DataError

_CHUNK = 4096


@dataclass
class _Sums:
    """Running sums over the columns of X, relative to a typical value of each."""

    seen: NDArray[np.float64]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]


def columns_from_array(
    X: NDArray[Any], used: NDArray[np.bool_], feature_names: Sequence[str] | None = None
) -> tuple[Column, ...]:
    """The columns that `learn_schema` would learn from an array, in milliseconds.

    Every column is a number, whatever its values; constant and empty ones are left out.

    Args:
        X: `[rows, columns]` of numbers; NaN is missing.
        used: the rows to learn from, `[rows]`.
        feature_names: names of the columns; None: `x0`, `x1`, ...

    Raises:
        DataError: an infinite value, or no column to learn from.
    """
    width = X.shape[1]
    names = list(feature_names or [f"x{place}" for place in range(width)])
    shift = _typical(X, used)
    sums = _Sums(
        np.zeros(width),
        np.zeros(width),
        np.zeros(width),
        np.full(width, np.inf),
        np.full(width, -np.inf),
    )
    for start in range(0, len(X), _CHUNK):
        chunk = X[start : start + _CHUNK]
        kept = used[start : start + _CHUNK]
        _add(sums, chunk if kept.all() else chunk[kept], shift, start, names)
    count = int(used.sum())
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        centre = sums.first / sums.seen
        deviation = np.sqrt(np.maximum(sums.second / sums.seen - centre * centre, 0.0))
    return number_columns(
        names, sums.seen, count - sums.seen, centre + shift, deviation, sums.minimum, sums.maximum
    )


def number_columns(
    names: Sequence[str],
    seen: NDArray[Any],
    missing: NDArray[Any],
    mean: NDArray[np.float64],
    deviation: NDArray[np.float64],
    minimum: NDArray[np.float64],
    maximum: NDArray[np.float64],
) -> tuple[Column, ...]:
    """Columns of numbers from what was measured of each; constant and empty ones are left out.

    Raises:
        DataError: there is no column to learn from.
    """
    columns: list[Column] = []
    for place, name in enumerate(names):
        absent = int(missing[place])
        low, high = float(minimum[place]), float(maximum[place])
        spread = float(deviation[place])
        reason = ""
        if seen[place] == 0:
            reason = "no value in the training rows"
        elif low == high or not spread > 1e-12 * max(abs(low), abs(high)):
            reason = "constant"
        elif not np.isfinite(spread):
            reason = "values too large"
        if reason:
            columns.append(LeftOutColumn(name, "number", absent, None, reason))
            continue
        centre = float(mean[place])
        columns.append(NumberColumn(name, "number", absent, None, centre, spread, low, high))
    if all(isinstance(column, LeftOutColumn) for column in columns):
        raise DataError("Every column of X is constant or empty; there is nothing to learn from.")
    return tuple(columns)


def _typical(X: NDArray[Any], used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mean of a few rows: sums of squares relative to it are accurate."""
    few = X[np.flatnonzero(used)[:64]].astype(np.float64)
    finite = np.isfinite(few)
    total = np.where(finite, few, 0.0).sum(axis=0)
    return np.asarray(total / np.maximum(finite.sum(axis=0), 1))


def _add(
    sums: _Sums, chunk: NDArray[Any], shift: NDArray[np.float64], start: int, names: Sequence[str]
) -> None:
    if not len(chunk):
        return
    low, high = chunk.min(axis=0), chunk.max(axis=0)
    centred = np.subtract(chunk, shift, dtype=np.float64)
    # A NaN or infinity in a column makes its minimum or maximum non-finite.
    if np.isfinite(low).all() and np.isfinite(high).all():
        sums.seen += len(chunk)
    else:
        rows, places = np.nonzero(np.isinf(chunk))
        if len(rows):
            raise DataError(
                f"Column {names[places[0]]!r} has the value {chunk[rows[0], places[0]]} after row "
                f"{start}; expected finite numbers. Use NaN for a missing value."
            )
        present = ~np.isnan(centred)
        sums.seen += present.sum(axis=0)
        np.copyto(centred, 0.0, where=~present)
        low = np.where(present, chunk, np.inf).min(axis=0)
        high = np.where(present, chunk, -np.inf).max(axis=0)
    ones = np.ones(len(centred))
    sums.first += ones @ centred
    sums.second += np.einsum("ij,ij->j", centred, centred)
    np.minimum(sums.minimum, low, out=sums.minimum)
    np.maximum(sums.maximum, high, out=sums.maximum)
