"""Survey the numbers of a small or a wide table, whose queries DuckDB plans for longer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descend.data.reading.expressions import float_sql
from descend.data.reading.numpy_arrays import as_numpy
from descend.data.reading.table import MARK, Table
from descend.data.reading.table_column import TableColumn
from descend.data.schema.exact_sums import ExactSum, sum_of_squares, sum_up_to

MOST_AT_ONCE = 512
"""Columns of a query."""
_PART = 31
_MOST_CELLS = 1 << 20
"""Values that are held at a time, where a column is not longer by itself."""


def surveys_at_once(
    table: Table, columns: Sequence[TableColumn], rows: int
) -> dict[str, dict[str, Any]]:
    """For each column what `number_survey` asks DuckDB for in other tables.

    Args:
        table: with its training rows marked.
        columns: each is read as numbers.
        rows: of the table.

    Returns:
        By name: `seen`, `minimum`, `maximum`, `distinct`, `broken`, `mean` and `deviation` in
        the training rows, `low` and `high` in the others.
    """
    size = max(1, min(MOST_AT_ONCE, _MOST_CELLS // max(1, rows)))
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(columns), size):
        group = columns[start : start + size]
        read = table.values([*map(float_sql, group), MARK])
        marked = np.asarray(as_numpy(read.column(len(group))), dtype=bool)
        values = np.stack(
            [np.asarray(as_numpy(one), np.float64) for one in read.columns[: len(group)]]
        )
        survey = _survey(values[:, marked], values[:, ~marked])
        for place, one in enumerate(group):
            found[one.name] = {key: of_all[place] for key, of_all in survey.items()}
    return found


def _survey(training: NDArray[np.float64], others: NDArray[np.float64]) -> Mapping[str, list[Any]]:
    """The survey of columns `[d, n]`, of which NaN is no value."""
    known = ~np.isnan(training)
    seen = known.sum(axis=1)
    ordered = np.sort(training, axis=1)
    steps = (ordered[:, 1:] != ordered[:, :-1]) & ~np.isnan(ordered[:, 1:])
    with np.errstate(invalid="ignore"):
        broken = (known & (training != np.floor(training))).sum(axis=1)
    lowest, highest = _ends(training)
    low, high = _ends(others)
    bounded = np.isfinite(training)
    finite = np.where(bounded, training, np.nan)
    ends = [(one or 0.0, other or 0.0) for one, other in zip(*_ends(finite), strict=True)]
    finite = np.where(bounded, training, 0.0)
    sums = [sum_up_to(max(map(abs, pair))) for pair in ends]
    counts = [max(1, int(one)) for one in seen]
    means = [
        one.mean(total, count)
        for one, total, count in zip(sums, _totals(finite, sums), counts, strict=True)
    ]
    squares = [sum_of_squares(mean, *pair) for mean, pair in zip(means, ends, strict=True)]
    centred = np.where(bounded, training - np.asarray(means)[:, None], 0.0)
    with np.errstate(over="ignore"):
        square = centred * centred
    square[[one is None for one in squares]] = 0.0
    totals = _totals(square, [one or ExactSum(0) for one in squares])
    deviations = [
        math.inf if one is None else math.sqrt(one.mean(total, count))
        for one, total, count in zip(squares, totals, counts, strict=True)
    ]
    return {
        "seen": seen.tolist(),
        "minimum": lowest,
        "maximum": highest,
        "distinct": (steps.sum(axis=1) + (seen > 0)).tolist(),
        "broken": broken.tolist(),
        "mean": means,
        "deviation": deviations,
        "low": low,
        "high": high,
    }


def _totals(values: NDArray[np.float64], sums: Sequence[ExactSum]) -> list[int]:
    """The sum of each row of values, as whole numbers."""
    units = np.asarray([math.ldexp(1.0, one.shift) for one in sums])
    whole = np.rint(values * units[:, None]).astype(np.int64)
    # In two parts, of which 2^31 fit in 64 bits.
    high, low = (whole >> _PART).sum(axis=1), (whole & ((1 << _PART) - 1)).sum(axis=1)
    return [(one << _PART) + other for one, other in zip(high.tolist(), low.tolist(), strict=True)]


def _ends(values: NDArray[np.float64]) -> tuple[list[float | None], list[float | None]]:
    """The least and the greatest value of each row; None where there is none."""
    none: list[bool] = np.isnan(values).all(axis=1).tolist()  # type: ignore[assignment]
    least = np.fmin.reduce(values, axis=1, initial=np.inf).tolist()
    most = np.fmax.reduce(values, axis=1, initial=-np.inf).tolist()
    return (
        [None if no else one for no, one in zip(none, least, strict=True)],
        [None if no else one for no, one in zip(none, most, strict=True)],
    )
