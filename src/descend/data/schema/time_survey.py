"""Survey dates and times: mean and deviation of the numbers that they become."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from descend.data.reading.numpy_arrays import as_numpy
from descend.data.reading.table import Table
from descend.data.schema.columns import DatetimePart
from descend.data.schema.dates import part_values
from descend.data.schema.surveys import TimeSurvey


def survey_times(table: Table, source: str, names: Sequence[str]) -> TimeSurvey:
    """Mean and deviation of the parts of dates and times.

    Args:
        table: where `source` is found.
        source: SQL of a query for `time`, microseconds or NULL, and `n`, how many rows have it.
        names: of the parts.
    """
    sums = _Sums(names)
    # Ordered, so that the sums are the same to the last bit.
    for batch in table.stream(
        f"SELECT time, sum(n)::BIGINT AS n FROM ({source}) WHERE time IS NOT NULL "
        "GROUP BY time ORDER BY time"
    ):
        sums.add(*(as_numpy(column).astype(np.int64) for column in batch.columns))
    return sums.survey()


class _Sums:
    """Running sums of the parts of one column."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.seen = 0
        self.ends: list[tuple[int, int]] = []
        self.shift: np.ndarray | None = None
        self.first = np.zeros(len(names))
        self.second = np.zeros(len(names))

    def add(self, microseconds: np.ndarray, counts: np.ndarray) -> None:
        if not len(microseconds):
            return
        parts = part_values(microseconds, self.names)
        matrix = np.stack([parts[name] for name in self.names])
        if self.shift is None:
            # Sums of squares relative to a typical value are accurate.
            self.shift = matrix.mean(axis=1)
        matrix -= self.shift[:, None]
        weighted = matrix * counts
        self.first += weighted.sum(axis=1)
        self.second += (weighted * matrix).sum(axis=1)
        self.seen += int(counts.sum())
        # Times arrive in order: remember the first two and the last two.
        ends = zip(microseconds.tolist(), counts.tolist(), strict=True)
        found = [*self.ends, *ends]
        self.ends = found if len(found) < 4 else [*found[:2], *found[-2:]]

    def survey(self) -> TimeSurvey:
        if self.shift is None:
            return TimeSurvey(0, 0, 0, ())
        mean = self.first / self.seen
        deviation = np.sqrt(np.maximum(self.second / self.seen - mean * mean, 0.0))
        parts = tuple(
            DatetimePart(name, float(centre), float(spread))
            for name, centre, spread in zip(self.names, mean + self.shift, deviation, strict=True)
            # Rounding gives a constant part a deviation of about 1e-8.
            if spread > 1e-7
        )
        times, counts = zip(*self.ends, strict=True)
        return TimeSurvey(
            self.seen,
            minimum=times[0],
            maximum=times[-1],
            parts=parts,
            at_minimum=counts[0],
            at_maximum=counts[-1],
            second=times[min(1, len(times) - 1)],
            second_last=times[max(0, len(times) - 2)],
        )
