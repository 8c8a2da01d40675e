"""Standardise numbers in float64, before they are cast to float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descend.data.schema.columns import NumberColumn
from descend.errors import DataError

FARTHEST = 1e6
"""Standardised numbers are clipped to this many deviations: farther values make no difference to a
model, and squares stay within float32."""

_CHUNK = 4096


def standard(values: NDArray[Any], mean: float, deviation: float) -> NDArray[np.float64]:
    """(values - mean) / deviation, clipped; NaN becomes 0."""
    scaled: NDArray[np.float64] = np.subtract(values, mean, dtype=np.float64)
    scaled /= deviation
    np.clip(scaled, -FARTHEST, FARTHEST, out=scaled)
    np.copyto(scaled, 0.0, where=np.isnan(scaled))
    return scaled


def standardise_array(
    X: NDArray[Any], numbers: Sequence[tuple[int, NumberColumn]], out: NDArray[np.float32]
) -> None:
    """`standard` of many columns of an array at once, a few rows at a time to stay in cache."""
    if not numbers:
        return
    places = [place for place, _ in numbers]
    all_used = places == list(range(X.shape[1]))
    mean = np.asarray([column.mean for _, column in numbers])
    deviation = np.asarray([column.deviation for _, column in numbers])
    starts = np.cumsum([0, *(1 + (column.missing > 0) for _, column in numbers)])[:-1]
    plain = out.shape[1] == len(numbers)
    flagged = [place for place, (_, column) in enumerate(numbers) if column.missing > 0]
    for start in range(0, len(X), _CHUNK):
        chunk = X[start : start + _CHUNK]
        chunk = chunk if all_used else chunk[:, places]
        scaled = np.subtract(chunk, mean, dtype=np.float64)
        if not np.isfinite(scaled.sum()):
            _raise_infinite(chunk, start, [column for _, column in numbers])
        scaled /= deviation
        np.clip(scaled, -FARTHEST, FARTHEST, out=scaled)
        absent = np.isnan(scaled)
        np.copyto(scaled, 0.0, where=absent)
        if plain:
            out[start : start + _CHUNK] = scaled
        else:
            out[start : start + _CHUNK, starts] = scaled
            out[start : start + _CHUNK, starts[flagged] + 1] = absent[:, flagged]


def _raise_infinite(chunk: NDArray[Any], start: int, columns: Sequence[NumberColumn]) -> None:
    """Raise DataError if a value is infinite."""
    rows, places = np.nonzero(np.isinf(chunk))
    if len(rows):
        raise DataError(
            f"Column {columns[places[0]].name!r}, row {start + rows[0] + 1}: expected a finite "
            f"number, found {chunk[rows[0], places[0]]}. Use NaN for a missing value."
        )
