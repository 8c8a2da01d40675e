"""The records of surveys, and the selection of rows that are surveyed."""

from __future__ import annotations

from dataclasses import dataclass

from descend.data.reading.expressions import number_sql, present_sql
from descend.data.reading.table import ROW
from descend.data.reading.table_column import TableColumn
from descend.data.reading.text_labels import Cells
from descend.data.schema.columns import DatetimePart
from descend.data.split import is_validation_sql

MOST_VALUES = 10_000
"""Most values of a category column that have their own code."""

LEAST_COUNT = 3
"""Rows that a value needs for its own code. Nothing can be learned about it from one or two rows;
code 0, which it shares with values never seen, learns from such rows."""


@dataclass(frozen=True)
class Selection:
    """Selects the training rows, as SQL conditions.

    Attributes:
        targets: columns that must hold a value.
        weight: a column that must be above 0.
        fraction: of the rows, held out for validation; None learns from all.
        seed: of the split.
    """

    targets: tuple[TableColumn, ...] = ()
    weight: TableColumn | None = None
    fraction: float | None = None
    seed: int = 0

    @property
    def labelled(self) -> str:
        """Condition: every target has a value."""
        return " AND ".join([present_sql(target) for target in self.targets]) or "true"

    @property
    def weighted(self) -> str:
        """Condition: the weight is above 0."""
        return f"coalesce({number_sql(self.weight)} > 0, false)" if self.weight else "true"

    @property
    def counted(self) -> str:
        """Condition: labelled and weighted."""
        return f"({self.labelled}) AND {self.weighted}"

    @property
    def training(self) -> tuple[str, ...]:
        """Conditions that together mean: counted, and not held out."""
        if self.fraction is None:
            return (self.counted,)
        return (self.counted, f"NOT {is_validation_sql(ROW, self.fraction, self.seed)}")


@dataclass(frozen=True)
class NumberSurvey:
    """A column of numbers: `infinite`, `lowest` and `highest` in all rows, the rest in training.

    Attributes:
        seen: rows that have a value.
        infinite: whether a value is infinite.
        lowest: of all.
        highest: of all.
        mean: of the values.
        deviation: of the values, from their mean.
        minimum: of the values.
        maximum: of the values.
        distinct: number of different values, possibly estimated.
        whole: all of them are whole numbers.
        counting: they number the rows, from 0 or 1.
    """

    seen: int = 0
    infinite: bool = False
    lowest: float = 0.0
    highest: float = 0.0
    mean: float = 0.0
    deviation: float = 0.0
    minimum: float = 0.0
    maximum: float = 0.0
    distinct: int = 0
    whole: bool = False
    counting: bool = False


@dataclass(frozen=True)
class TimeSurvey:
    """Dates or times in the training rows, as microseconds since 1970 (or since midnight).

    Attributes:
        seen: rows that have one.
        minimum: of them.
        maximum: of them.
        parts: what they become, with mean and deviation; constant ones are left out.
        at_minimum: rows that have the earliest one.
        at_maximum: rows that have the latest one.
        second: the second earliest one.
        second_last: the second latest one.
    """

    seen: int
    minimum: int
    maximum: int
    parts: tuple[DatetimePart, ...]
    at_minimum: int = 0
    at_maximum: int = 0
    second: int = 0
    second_last: int = 0


@dataclass(frozen=True)
class ValueSurvey:
    """A column of values in the training rows.

    Attributes:
        seen: rows that have a value.
        distinct: different values.
        longest: length of the longest.
        length: mean length.
        pattern: how its dates or times are written, as `DatetimeColumn` has it.
        american: whether its times show that names of several time zones are those of North
            America.
        ambiguous: whether its text is dates in which day and month cannot be told apart.
        dated: how many of its cells are dates of one form, where too few are for a column of
            dates.
        unread: `zone`, `clock` or `month`, and how many of its cells are times with the name of a
            time zone that is not known, times of a day with a zone, or months with a number that
            may be a day or a year.
        strays: cells of a column of dates that are no dates, or out of the range of years.
        times: survey of the dates or times, if it holds them.
        values: otherwise the commonest values with their counts, by descending count, then by
            value.
        texts: of a column of text, the 1,000 commonest values with their counts, rare ones too.
    """

    seen: int = 0
    distinct: int = 0
    longest: int = 0
    length: float = 0.0
    pattern: str | None = None
    american: bool = False
    ambiguous: bool = False
    dated: int = 0
    unread: tuple[str, int] | None = None
    strays: Cells | None = None
    times: TimeSurvey | None = None
    values: tuple[tuple[str, int], ...] = ()
    texts: tuple[tuple[str, int], ...] = ()
