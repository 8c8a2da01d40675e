"""SQL that reads a column as dates or times, however they are stored.

Only this module decides what a date or a time means: training and prediction both read columns
through these expressions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

from descend.data.reading.expressions import (
    number_sql,
    numbers_in,
    text_sql,
    value_text_sql,
    written_sql,
)
from descend.data.reading.missing import missing_sql
from descend.data.reading.periods import PERIODS, QUARTER, WEEK, period_sql
from descend.data.reading.sql import quote_text, with_value
from descend.data.reading.table_column import TableColumn, stamp_sql
from descend.data.reading.time_text import (
    OFFSET,
    clock_time_sql,
    iso_sql,
    without_offset_sql,
    year_digits_sql,
)
from descend.data.reading.worded_dates import (
    WORDED,
    tidied_sql,
    tidy_time_sql,
    worded_sql,
    zone_table,
)

TIME = "time"
"""Stands for times of day where a strptime pattern is expected."""

EPOCHS = {"epoch s": 1e6, "epoch ms": 1e3, "epoch us": 1.0, "epoch ns": 1e-3}
"""Names for numbers that count from 1970, used like strptime patterns, and their unit in
microseconds."""

DAY_NUMBER = "yyyymmdd"
"""The pattern of whole numbers such as 20240131, which are dates."""

MONTH_NUMBER = "yyyymm"
"""The pattern of whole numbers such as 202401, which are months."""

NUMBER_PATTERNS = (*EPOCHS, DAY_NUMBER, MONTH_NUMBER)
"""The patterns of times that are stored as numbers."""


def epoch_unit(largest: float) -> str:
    """The unit of numbers that count from 1970, by the largest: up to the year 5138 seconds."""
    return next((one for one, size in EPOCHS.items() if largest * size < 1e17), "epoch ns")


_COARSE_TIMES = ("TIMESTAMP_S", "TIMESTAMP_MS")
"""Types that hold times of which DuckDB cannot write the text."""


def time_sql(
    column: TableColumn, pattern: str | None, *, american: bool = False, odd: bool = True
) -> str:
    """SQL: microseconds since 1970 (for `TIME`, since midnight) as BIGINT; NULL if unreadable.

    Args:
        column: of dates, times, text or numbers.
        pattern: of text: None for ISO 8601, `TIME` for times of day, one of `PERIODS`, `WORDED`,
            or another strptime pattern; of numbers one of `NUMBER_PATTERNS`. Durations below a
            day are times of day.
        american: whether the names of several time zones are those of North America.
        odd: whether to read text in other forms than that of the pattern too, which takes several
            times as long to plan.
    """
    if pattern in NUMBER_PATTERNS and column.type not in ("date", "datetime"):
        counted = _numbered_time(column, pattern)
        # Another table may have the same times as dates.
        return f"coalesce({counted}, {time_sql(column, None)})" if column.is_text else counted
    if column.is_text:
        # Most cells are as the pattern has them. Inside one lambda the other forms would cost half
        # as much again, though they are tried only where it reads none.
        forms: list[Callable[..., str]] = [_text_time]
        if odd:
            forms.append(functools.partial(_other_time, american=american))
        read = (
            with_value(text_sql(column), functools.partial(form, column.nulls, pattern))
            for form in forms
        )
        return f"coalesce({', '.join(read)})"
    if column.sql_type == "INTERVAL":
        within = f"{column.sql} >= INTERVAL 0 second AND {column.sql} < INTERVAL 1 day"
        return f"CASE WHEN {within} THEN epoch_us({column.sql}) END"
    if pattern == TIME:
        return f"epoch_us(DATE '1970-01-01' + try_cast({column.sql} AS TIME))"
    stamp = stamp_sql(column.sql, column.sql_type)
    test = f"isfinite({stamp})"
    if column.nulls:
        test += f" AND {_not_listed_sql(column)}"
    return f"CASE WHEN {test} THEN epoch_us({stamp}) END"


def _numbered_time(column: TableColumn, pattern: str) -> str:
    """SQL: the microseconds of numbers that are times; NULL for those that are none."""
    if pattern in EPOCHS:
        count = f"{number_sql(column)} * {EPOCHS[pattern]}"
        return f"CASE WHEN abs({count}) < 9e18 THEN round({count})::BIGINT END"
    if pattern == DAY_NUMBER:
        return with_value(number_sql(column), _numbered_day)
    return with_value(number_sql(column), lambda month: _numbered_day(f"({month} * 100 + 1)"))


def _numbered_day(number: str) -> str:
    """SQL: the microseconds of a number such as 20240131; NULL if it is no date."""
    day = f"try_strptime({number}::BIGINT::VARCHAR, '%Y%m%d')"
    possible = f"{number} BETWEEN 10000101 AND 99991231 AND {number} = floor({number})"
    return f"CASE WHEN {possible} THEN epoch_us({day}) END"


def _text_time(nulls: tuple[str, ...], pattern: str | None, text: str) -> str:
    """SQL: the microseconds of a text that is a time of a pattern; NULL for others."""
    if pattern == TIME:
        return f"epoch_us(DATE '1970-01-01' + {clock_time_sql(text)})"
    return _microseconds(nulls, text, _stamp(pattern, text))


def _other_time(nulls: tuple[str, ...], pattern: str | None, text: str, *, american: bool) -> str:
    """SQL: the microseconds of a time that is written in another way than that of a pattern."""
    if pattern == TIME:
        return f"epoch_us(DATE '1970-01-01' + {tidied_sql(text, clock_time_sql)})"

    def read(tidy: str) -> str:
        forms = [_stamp(pattern, tidy), worded_sql(tidy, iso_sql)]
        if pattern is not None and pattern not in (*PERIODS, WORDED):
            forms.insert(1, _zoned_stamp(pattern, tidy))
        return f"coalesce({', '.join(forms)})"

    return _microseconds(
        nulls, text, with_value(tidy_time_sql(text, zone_table(american=american)), read)
    )


def _zoned_stamp(pattern: str, text: str) -> str:
    """SQL: the TIMESTAMP in UTC of a text of a strptime pattern with an offset behind it."""
    offset = f"regexp_extract({text}, {quote_text(f'({OFFSET})$')}, 1)"
    parsed = f"try_strptime({without_offset_sql(text)}, {quote_text(pattern)})"
    zoned = f"try_cast(concat({parsed}::VARCHAR, {offset}) AS TIMESTAMPTZ)"
    test = f"contains({text}, ':') AND {year_digits_sql(without_offset_sql(text), pattern)}"
    return f"CASE WHEN {offset} <> '' AND {test} THEN {zoned}::TIMESTAMP END"


def _microseconds(nulls: tuple[str, ...], text: str, stamp: str) -> str:
    """SQL: the microseconds of a TIMESTAMP; NULL where the text stands for a missing one."""
    missing = missing_sql(text, nulls, marks=True)
    return with_value(
        f"CASE WHEN NOT {missing} THEN {stamp} END",
        lambda value: f"CASE WHEN isfinite({value}) THEN epoch_us({value}) END",
    )


def _stamp(pattern: str | None, text: str) -> str:
    """SQL: the TIMESTAMP of a text of a pattern, or of ISO 8601; NULL for others."""
    stamp = iso_sql(text)
    if pattern in PERIODS:
        # Each of the forms is read in one way only, so a table may have another one.
        forms = ", ".join(period_sql(text, one) for one in dict.fromkeys((pattern, *PERIODS)))
        return f"coalesce({forms}, {stamp})"
    if pattern is None:
        # Periods of a frame are their first days, and text in the same frame's CSV file.
        periods = ", ".join(period_sql(text, one) for one in ("%Y-%m", QUARTER, WEEK))
        return f"coalesce({stamp}, CASE WHEN length({text}) < 9 THEN coalesce({periods}) END)"
    if pattern == WORDED:
        return stamp
    digits = year_digits_sql(text, pattern)
    parsed = f"CASE WHEN {digits} THEN try_strptime({text}, {quote_text(pattern)}) END"
    return f"coalesce({parsed}, {stamp})"


def time_written_sql(column: TableColumn, pattern: str | None) -> str:
    """Whether something stands in a cell of dates or times that is no mark for missing.

    Where `time_sql` is NULL all the same, it is none, or lies beyond the years that can be told.

    Args:
        column: of dates, times, text or numbers.
        pattern: as for `time_sql`.
    """
    if column.is_text:
        return written_sql(column)
    if pattern in NUMBER_PATTERNS and column.type not in ("date", "datetime"):
        return f"({number_sql(column)}) IS NOT NULL"
    if not column.nulls:
        return f"{column.sql} IS NOT NULL"
    return f"({column.sql} IS NOT NULL AND {_not_listed_sql(column)})"


def cell_sql(column: TableColumn) -> str:
    """VARCHAR of what stands in a cell, for messages."""
    if column.sql_type in _COARSE_TIMES:
        beyond = quote_text("a time out of range")
        known = f"coalesce({value_text_sql(column)}, {beyond})"
        return f"CASE WHEN {column.sql} IS NOT NULL THEN {known} END"
    return f"{column.sql}::VARCHAR"


def _not_listed_sql(column: TableColumn) -> str:
    """SQL: a time is not among those that stand for a missing one."""
    listed = ", ".join(f"try_cast({quote_text(text)} AS TIMESTAMP)" for text in column.nulls)
    return f"list_position([{listed}], {stamp_sql(column.sql, column.sql_type)}) IS NULL"


def times_in(texts: Iterable[str], pattern: str | None) -> Iterator[int]:
    """The texts that are times, as microseconds since 1970 (for `TIME`, since midnight).

    Args:
        texts: such as those that stand for a missing value.
        pattern: as for `time_sql`.
    """
    if not texts:
        return
    import duckdb

    of_numbers = pattern in NUMBER_PATTERNS
    kind = ("number", "DOUBLE") if of_numbers else ("text", "VARCHAR")
    sql = time_sql(TableColumn("value", *kind), pattern)
    given = list(numbers_in(texts)) if of_numbers else list(texts)
    with duckdb.connect() as connection:
        for one in given:
            found = connection.execute(f"SELECT {sql} FROM (SELECT $1::{kind[1]} AS value)", [one])
            (time,) = found.fetchall()[0]
            if time is not None:
                yield int(time)
