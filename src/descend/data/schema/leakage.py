"""Find leaking columns: those that nearly determine the target."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from descend.data.reading.expressions import category_sql, float_sql, number_sql
from descend.data.reading.numpy_arrays import as_numpy
from descend.data.reading.sql import with_value
from descend.data.reading.table import MARK, ROW, Table
from descend.data.reading.table_column import TableColumn
from descend.data.schema.surveys import Selection
from descend.errors import option_text
from descend.io.units import percent_text

_SAMPLE = 20_000
_MOST_COLUMNS = 1024
_SAMPLED_CELLS = 5 << 20
"""Most columns and values of a query for the sample; each query costs as much as 100 columns."""
_CELLS_AT_ONCE = 1 << 20
_CORRELATION = 0.999
_NEAR_CORRELATION = 0.99
_DETERMINED = 0.999
_ROWS_PER_VALUE = 3
_TEXT_BYTES = 12 << 20
"""What DuckDB holds on all cores to compute the identity of a text, beside what it counts."""
_GOLDEN = 0x9E3779B1


class Leak(NamedTuple):
    """A column that nearly determines the target.

    Attributes:
        column: its name.
        text: a sentence for the user, with what to type.
    """

    column: str
    text: str


def leaking_columns(
    table: Table,
    numbers: Sequence[TableColumn],
    categories: Sequence[TableColumn],
    rows: Selection,
    *,
    classes: bool,
    training_rows: int,
) -> list[Leak]:
    """The columns that nearly determine the target.

    In a sample of the training rows, such a column is nearly a linear function of the target, or
    rows with the same value nearly always have the same target.

    Args:
        table: with its training rows marked.
        numbers: input columns of numbers.
        categories: input columns of categories.
        rows: selects the training rows.
        classes: whether the target is classes.
        training_rows: number of training rows.
    """
    target = rows.targets[0]
    sampled = MARK
    if training_rows > _SAMPLE:
        # Multiples of the golden ratio are spread evenly, whatever the order of the rows.
        most = round(2**32 * _SAMPLE / training_rows)
        sampled += f" AND {ROW} % {2**31} * {_GOLDEN} % {2**32} < {most}"
    target_sql = _identity_sql(category_sql(target)) if classes else number_sql(target)
    asked = [(column, float_sql(column), True) for column in numbers]
    # Which rows share a value is all that counts: the text of a value may take any room.
    asked += [(column, _identity_sql(category_sql(column)), False) for column in categories]
    found = []
    most = min(_MOST_COLUMNS, _SAMPLED_CELLS // max(1, min(training_rows, _SAMPLE)))
    few = most if table.memory is None else min(most, max(8, table.memory // _TEXT_BYTES))
    starts = [*range(0, len(numbers), most), *range(len(numbers), len(asked), few), len(asked)]
    for start, stop in itertools.pairwise(starts):
        group = asked[start:stop]
        select = [target_sql, *(sql for _, sql, _ in group)]
        sample = table.values(select, where=sampled)
        y = _codes(sample.column(0)) if classes else _floats(sample.column(0))
        may_leak = _may_leak([one for one in range(len(group)) if group[one][2]], sample, y)
        for place, (column, _, number) in enumerate(group, 1):
            if number and place not in may_leak:
                continue
            share = _describe_leak(sample.column(place), y, number=number, classes=classes)
            if share:
                text = (
                    f"Column {column.name!r} gives the target {target.name!r} away ({share}). "
                    "If it is not known when predicting, leave it out with "
                    f"{option_text('exclude', [column.name])}."
                )
                found.append(Leak(column.name, text))
    return found


def _may_leak(places: Sequence[int], sample: pa.Table, y: NDArray[np.float64]) -> set[int]:
    """Which columns of numbers are worth a closer look.

    Those that correlate with y, or whose values repeat: what `_describe_leak` finds in others is
    nothing, and with many columns at once that is known in a tenth of the time.

    Args:
        places: indices of the columns of numbers, after the first column of the sample.
        sample: the target, then the columns.
        y: `[n]`.
    """
    found: set[int] = set()
    size = max(1, _CELLS_AT_ONCE // max(1, len(y)))
    for start in range(0, len(places), size):
        group = [place + 1 for place in places[start : start + size]]
        values = np.stack([_floats(sample.column(place)) for place in group])
        near = np.abs(_correlations(values, y))
        values.sort(axis=1)
        known = ~np.isnan(values)
        distinct = ((values[:, 1:] != values[:, :-1]) & known[:, 1:]).sum(axis=1) + 1
        repeated = distinct * _ROWS_PER_VALUE <= known.sum(axis=1)
        # NaN, of a constant column, is worth a look as well.
        found.update(np.asarray(group)[repeated | ~(near < _NEAR_CORRELATION)].tolist())
    return found


def _correlations(values: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The correlation of each row of values with y, over those that are not NaN."""
    known = ~np.isnan(values)
    with np.errstate(all="ignore"):
        count = known.sum(axis=1, keepdims=True)
        apart = np.where(known, values, 0.0)
        apart, y = (one / np.abs(one).max(axis=-1, keepdims=True) for one in (apart, y))
        apart = np.where(known, apart - apart.sum(axis=1, keepdims=True) / count, 0.0)
        other = np.where(known, y - (known @ y)[:, None] / count, 0.0)
        spread = np.sqrt((apart**2).sum(axis=1) * (other**2).sum(axis=1))
        return np.asarray((apart * other).sum(axis=1) / spread)


def _identity_sql(value: str) -> str:
    """SQL: a number that stands for a value; NULL for none."""
    return with_value(value, lambda found: f"CASE WHEN {found} IS NOT NULL THEN hash({found}) END")


def _describe_leak(
    values: pa.ChunkedArray, y: NDArray[np.float64], *, number: bool, classes: bool
) -> str:
    """How a column determines y; empty if it does not."""
    # NaN is a missing number.
    valid = pc.invert(pc.is_null(values, nan_is_null=number))
    present = np.asarray(as_numpy(valid), dtype=bool)
    if present.sum() < 20:
        return ""
    values, y = values.filter(valid), y[present]
    if not classes:
        y = _near_one(y)
    if number:
        x = _near_one(_floats(values))
        two = len(np.unique(y)) == 2
        if (two or not classes) and x.std() > 0 and y.std() > 0:
            correlation = float(np.corrcoef(x, y)[0, 1])
            if abs(correlation) > _CORRELATION:
                return f"their correlation is {correlation:.4f}"
    groups = _codes(values).astype(np.int64)
    count = np.bincount(groups)
    shared = count[groups] >= 2
    # If values hardly repeat, agreement means nothing.
    if len(groups) < _ROWS_PER_VALUE * len(count) or shared.sum() < 20 or len(count) < 2:
        return ""
    share = _explained_share(groups[shared], y[shared], classes=classes)
    if share > _DETERMINED:
        return f"rows with the same value share the target: {percent_text(share)}"
    return ""


def _near_one(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The numbers over the largest of them: squares of those from 1e155 on are infinite."""
    return values / (np.abs(values).max() or 1.0)


def _explained_share(groups: NDArray[np.int64], y: NDArray[np.float64], *, classes: bool) -> float:
    """The share of y that the groups explain beyond chance; 1 is all of it."""
    if classes:
        labels = y.astype(np.int64)
        pairs, counts = np.unique(groups * (labels.max() + 1) + labels, return_counts=True)
        best = np.zeros(groups.max() + 1)
        np.maximum.at(best, pairs // (labels.max() + 1), counts)
        wrong = 1 - best.sum() / len(y)
        base = 1 - np.bincount(labels).max() / len(y)
    else:
        count = np.maximum(np.bincount(groups), 1)
        mean = np.bincount(groups, y) / count
        wrong = float(((y - mean[groups]) ** 2).sum())
        base = float(((y - y.mean()) ** 2).sum())
    return 1 - wrong / base if base > 0 else 0.0


def _codes(values: pa.ChunkedArray) -> NDArray[np.float64]:
    encoded = values.combine_chunks().dictionary_encode()
    return np.asarray(as_numpy(encoded.indices), dtype=np.float64)


def _floats(values: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(as_numpy(values), dtype=np.float64)
