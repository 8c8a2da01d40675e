"""Look at the dates and times of a table: mean and deviation of what they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from descend.data.columns.column import DatetimePart
from descend.data.columns.datetimes import part_values
from descend.data.reading.expressions import time_sql
from descend.data.reading.table import MARK, Table
from descend.data.reading.table_column import TableColumn


@dataclass(frozen=True)
class TimeSurvey:
    """A column of dates or times in the training rows; the times in microseconds since 1970."""

    seen: int
    minimum: int
    maximum: int
    parts: tuple[DatetimePart, ...]


def survey_times(
    table: Table,
    columns: Mapping[TableColumn, str | None],
    names: Mapping[str, Sequence[str]],
) -> dict[str, TimeSurvey]:
    """Mean and deviation of the parts of dates and times, in one reading.

    Args:
        table: its training rows marked.
        columns: each with the pattern of its text.
        names: the parts wanted of each column.
    """
    if not columns:
        return {}
    times = [time_sql(column, pattern) for column, pattern in columns.items()]
    sums: dict[str, _Sums] = {column.name: _Sums(names[column.name]) for column in columns}
    for batch in table.batches([*times, MARK]):
        kept = batch.column(len(times))
        for place, column in enumerate(columns):
            values = batch.column(place).filter(kept).drop_null()
            sums[column.name].add(values)
    return {name: one.survey() for name, one in sums.items()}


class _Sums:
    """Running sums of the parts of one column."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.seen = 0
        self.minimum: int | None = None
        self.maximum: int | None = None
        self.shift: np.ndarray | None = None
        self.first = np.zeros(len(names))
        self.second = np.zeros(len(names))

    def add(self, times: pa.Array) -> None:
        microseconds = times.to_numpy(zero_copy_only=False).astype(np.int64)
        if not len(microseconds):
            return
        parts = part_values(microseconds, self.names)
        matrix = np.stack([parts[name] for name in self.names])
        if self.shift is None:
            # Sums of squares about a typical value keep their digits.
            self.shift = matrix.mean(axis=1)
        matrix -= self.shift[:, None]
        self.first += matrix.sum(axis=1)
        self.second += (matrix * matrix).sum(axis=1)
        self.seen += len(microseconds)
        low, high = int(microseconds.min()), int(microseconds.max())
        self.minimum = low if self.minimum is None else min(self.minimum, low)
        self.maximum = high if self.maximum is None else max(self.maximum, high)

    def survey(self) -> TimeSurvey:
        if self.shift is None or self.minimum is None or self.maximum is None:
            return TimeSurvey(0, 0, 0, ())
        mean = self.first / self.seen
        deviation = np.sqrt(np.maximum(self.second / self.seen - mean * mean, 0.0))
        parts = tuple(
            DatetimePart(name, float(centre), float(spread))
            for name, centre, spread in zip(self.names, mean + self.shift, deviation, strict=True)
            # Rounding leaves a constant part with a deviation of about 1e-8.
            if spread > 1e-7
        )
        return TimeSurvey(self.seen, self.minimum, self.maximum, parts)
