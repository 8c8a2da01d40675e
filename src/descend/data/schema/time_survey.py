"""Survey dates and times: mean and deviation of the numbers that they become."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from descend.data.reading.numpy_arrays import as_numpy
from descend.data.reading.shared_groups import kept_by_key
from descend.data.reading.table import Table
from descend.data.schema.columns import DatetimePart
from descend.data.schema.dates import part_values
from descend.data.schema.exact_sums import weighted_squares, weighted_total
from descend.data.schema.surveys import TimeSurvey

_SHIFT = 26
"""Bits behind the point of a part of a date, before its sums; parts are below 2²⁵."""


def survey_times(table: Table, source: str, names: Sequence[str]) -> TimeSurvey:
    """Mean and deviation of the parts of dates and times.

    Args:
        table: where `source` is found.
        source: SQL of a query for `time`, microseconds or NULL, and `n`, how many rows have it.
        names: of the parts.
    """
    sums = _Sums(names)
    times = f"SELECT time, sum(n)::BIGINT AS n FROM ({source}) WHERE time IS NOT NULL GROUP BY time"
    merge = "SELECT time, sum(n)::BIGINT AS n FROM parts GROUP BY time"
    with kept_by_key(table, [times], "time", merge) as kept:
        for batch in table.stream(f"SELECT time, n FROM {kept} ORDER BY time"):
            sums.add(*(as_numpy(column).astype(np.int64) for column in batch.columns))
    if table.sharing is not None:
        texts = [json.loads(one) for one in table.sharing.gather(json.dumps(vars(sums)).encode())]
        sums = _Sums.joined(names, texts)
    return sums.survey()


class _Sums:
    """Sums of the parts of one column, exact, so that their order does not matter."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.seen = 0
        self.ends: list[tuple[int, int]] = []
        self.first = [0] * len(names)
        self.second = [0] * len(names)

    @classmethod
    def joined(cls, names: Sequence[str], found: Sequence[Mapping[str, Any]]) -> _Sums:
        """The sums of several processes, each of which had other times."""
        sums = cls(names)
        for one in found:
            sums.seen += one["seen"]
            sums.first = [a + b for a, b in zip(sums.first, one["first"], strict=True)]
            sums.second = [a + b for a, b in zip(sums.second, one["second"], strict=True)]
            sums.ends += [(time, count) for time, count in one["ends"]]
        sums.ends.sort()
        return sums

    def add(self, microseconds: np.ndarray, counts: np.ndarray) -> None:
        if not len(microseconds):
            return
        parts = part_values(microseconds, self.names)
        for place, name in enumerate(self.names):
            self.first[place] += weighted_total(parts[name], counts, _SHIFT)
            # A square has twice the bits: whole numbers and fractions are squared apart.
            self.second[place] += weighted_squares(parts[name], counts, _SHIFT)
        self.seen += int(counts.sum())
        # Times arrive in order: remember the first two and the last two.
        ends = zip(microseconds.tolist(), counts.tolist(), strict=True)
        found = [*self.ends, *ends]
        self.ends = found if len(found) < 4 else [*found[:2], *found[-2:]]

    def survey(self) -> TimeSurvey:
        if not self.seen:
            return TimeSurvey(0, 0, 0, ())
        parts = []
        for name, first, second in zip(self.names, self.first, self.second, strict=True):
            mean = first / (self.seen << _SHIFT)
            # n Σv² − (Σv)², without rounding.
            spread = self.seen * second - first * first
            deviation = math.sqrt(max(0, spread) / (self.seen**2 << (2 * _SHIFT)))
            # Rounding gives a constant part a deviation of about 1e-8.
            if deviation > 1e-7:
                parts.append(DatetimePart(name, mean, deviation))
        times, counts = zip(*self.ends, strict=True)
        return TimeSurvey(
            self.seen,
            minimum=times[0],
            maximum=times[-1],
            parts=tuple(parts),
            at_minimum=counts[0],
            at_maximum=counts[-1],
            second=times[min(1, len(times) - 1)],
            second_last=times[max(0, len(times) - 2)],
        )
