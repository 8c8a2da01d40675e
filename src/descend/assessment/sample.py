"""Encoded rows, their columns in the words of the table, and the model's predictions for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from descend.data.encoding.places import Places
from descend.data.rows.store import RowStore
from descend.data.schema.columns import (
    CategoryColumn,
    ClassificationTarget,
    DatetimeColumn,
    NumberColumn,
    Schema,
)
from descend.types import Batch

Numbers = npt.NDArray[np.float64]
Inputs = Mapping[str, npt.NDArray[Any]]
OTHER, MISSING = "(other)", "(missing)"

MOST_CELLS = 1 << 22
"""Most values of a sample."""
LEAST_DRAWN = 256
"""Rows of a sample even where they are very wide."""

_FLOAT32 = 2e-7
"""What a number may be off by, relative to its parts, after it was standardized in float32."""


@dataclass(frozen=True)
class Sample:
    """Rows with the model's predictions.

    Attributes:
        x: the encoded inputs.
        truth: regression: `[n]` in the target's units; classification: class codes `[n]`.
        predicted: regression: `[n]` in the target's units; classification: `[n, K]`.
        weight: `[n]`, above 0.
        predict: encoded inputs to predictions like `predicted`.
        classes: names of the classes; empty for regression.
    """

    x: Inputs
    truth: Numbers
    predicted: Numbers
    weight: Numbers
    predict: Callable[[Inputs], Numbers]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def weighted(self) -> bool:
        """Whether some rows count more than others."""
        return bool(np.ptp(self.weight) > 0) if len(self) else False

    def first(self, rows: int) -> Sample:
        """The first rows of it."""
        return self._rows(slice(rows))

    def _rows(self, chosen: slice | npt.NDArray[np.int64]) -> Sample:
        return replace(
            self,
            x={name: values[chosen] for name, values in self.x.items()},
            truth=self.truth[chosen],
            predicted=self.predicted[chosen],
            weight=self.weight[chosen],
        )

    def spread(self, rows: int) -> Sample:
        """At most `rows` rows, evenly spaced in the order of predictions: the mean stays."""
        if rows >= len(self):
            return self
        along = self.predicted
        if along.ndim == 2:
            # Of two classes the second; of more, the one that varies most between the rows.
            along = along[:, 1 if along.shape[1] == 2 else int(np.argmax(along.var(axis=0)))]
        order = np.argsort(along, kind="stable")
        return self._rows(order[((np.arange(rows) + 0.5) * len(self) / rows).astype(np.int64)])

    def losses(self, predicted: Numbers) -> Numbers:
        """The loss of each row: squared error, or negative log-likelihood of the true class."""
        if not self.classes:
            return np.asarray((predicted - self.truth) ** 2)
        rows = np.arange(len(self.truth))
        chosen = predicted[rows, self.truth.astype(int)]
        return np.asarray(-np.log(np.maximum(chosen, 1e-15)))


def rows_within(width: int, most: int) -> int:
    """How many rows a sample may have: at most `most`, and of wide rows at most MOST_CELLS values.

    >>> rows_within(20, 20_000), rows_within(4096, 20_000)
    (20000, 1024)
    """
    return max(LEAST_DRAWN, min(most, MOST_CELLS // max(1, width)))


def draw(store: RowStore, most: int, seed: int) -> Batch:
    """Rows of a store in random order, at most `most`, those of weight 0 left out."""
    random = np.random.default_rng(seed)
    count = len(store)
    most = min(most, rows_within(store.row_bytes // 4, most))
    if count <= most:
        rows = random.permutation(count)
    else:
        # Sorted, so that a store on disk is read once from front to back; then shuffled.
        rows = np.sort(random.choice(count, most, replace=False))
    batch = store.gather(rows.astype(np.int64))
    order = random.permutation(len(rows))
    order = order[np.asarray(batch.weight)[order] > 0]
    x = {name: np.asarray(values)[order] for name, values in batch.x.items()}
    return Batch(x, np.asarray(batch.y)[order], np.asarray(batch.weight)[order])


def category_names(column: CategoryColumn) -> list[str]:
    """The text of each code of a column."""
    missing = [MISSING] if column.missing > 0 else []
    return [OTHER, *missing, *column.values]


def values_of(place: Places, x: Inputs) -> npt.NDArray[Any]:
    """A column of encoded rows in the words of the table: numbers (NaN: missing) or text.

    Dates become days since 1970 where that part exists, else NaN.
    """
    column = place.column
    if isinstance(column, CategoryColumn):
        names = np.asarray(category_names(column), dtype=object)
        return np.asarray(names[np.asarray(x["category"])[:, place.category]])
    if isinstance(column, NumberColumn):
        return np.asarray(number_values([place], x)[:, 0])
    # Of the one column: to convert all for each would take the square of their number.
    numeric = np.asarray(np.asarray(x["numeric"])[:, list(place.numeric)], np.float64)
    parts = column.parts if isinstance(column, DatetimeColumn) else ()
    days = next((index for index, part in enumerate(parts) if part.name == "elapsed days"), None)
    if days is None:
        return np.full(len(numeric), np.nan)
    values = numeric[:, days] * parts[days].deviation + parts[days].mean
    if column.missing > 0:
        values = np.where(numeric[:, -1] > 0.5, np.nan, values)
    return np.asarray(values)


def number_values(places: Sequence[Places], x: Inputs) -> Numbers:
    """Columns of numbers `[n, k]` in the units of the table; NaN: missing."""
    columns = [place.column for place in places if isinstance(place.column, NumberColumn)]
    numeric = np.asarray(x["numeric"])
    encoded = np.asarray(numeric[:, [place.numeric[0] for place in places]], np.float64)
    deviation = np.asarray([column.deviation for column in columns])
    mean = np.asarray([column.mean for column in columns])
    values = encoded * deviation + mean
    whole = [abs(one.maximum) < 1e15 and float(one.maximum).is_integer() for one in columns]
    near = np.round(values)
    with np.errstate(invalid="ignore"):  # of infinite values
        close = np.asarray(whole) & (np.abs(values - near) < 1e-5 * deviation)
    values = np.where(close, near, to_precision(values, mean)) + 0.0  # no -0
    for number, place in enumerate(places):
        if columns[number].missing > 0:
            values[numeric[:, place.numeric[-1]] > 0.5, number] = np.nan
    return np.asarray(values)


def to_precision(values: Numbers, mean: float | Numbers) -> Numbers:
    """Values that were standardized in float32, rounded to the digits that this has left of them.

    Otherwise 14 comes back as 13.999999, and 0 as -3.2e-8.

    Args:
        values: in the units of the table.
        mean: that was subtracted from them.
    """
    error = np.clip(_FLOAT32 * (np.abs(values - mean) + np.abs(mean)), 1e-300, 1e300)
    digits = 10.0 ** -np.ceil(np.log10(error))
    return np.asarray(np.round(values * digits) / digits + 0.0)  # no -0


def class_names(schema: Schema) -> tuple[str, ...]:
    """The names of the classes; empty for regression."""
    target = schema.target
    return tuple(map(str, target.labels)) if isinstance(target, ClassificationTarget) else ()
