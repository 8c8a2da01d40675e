"""Numbers that may be dates, times or clocks: they stay numbers, and a sentence tells it."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence

from descend.data.reading.expressions import number_sql
from descend.data.reading.sql import quote_name, quote_text
from descend.data.reading.table import MARK, Table
from descend.data.reading.times import DAY_NUMBER, EPOCHS, MONTH_NUMBER, epoch_unit, time_sql
from descend.data.schema.column_records import Surveys
from descend.data.schema.columns import NumberColumn
from descend.data.schema.dates import DAY
from descend.data.schema.offered_commands import query_text
from descend.errors import option_text

_RECENT = (1e15, 2.2e15)
"""Microseconds since 1970 of the years 2001 to 2039."""
_LEAST_TIMES = 20
_LEAST_MONTHS = 6
_LAST_MINUTE = 23.59
_LEAST_HOURS, _LEAST_MINUTES = 6, 40
"""Different hours and minutes of a column of clocks such as 23.59. That decimals end in so many
ways, and never in 60 to 99, has a chance of 0.6 to the power of 40."""
_LEAST_DAYS = 40
"""Different days of a column of days of years, of whose last three digits 634 in 1,000 are none."""


def numbered_times(table: Table, columns: Sequence[NumberColumn], surveys: Surveys) -> list[str]:
    """A sentence for each column of numbers that may be dates, times or clocks.

    Args:
        table: with its training rows marked.
        columns: of the schema.
        surveys: of these columns.
    """
    said = []
    for column in columns:
        said += (
            _numbered_dates(table, column, surveys)
            or _numbered_days_with_times(table, column)
            or _days_of_years(table, column, surveys)
            or _epochs(column)
        )
    return said + _clocks(table, columns, surveys)


def _clocks(table: Table, columns: Sequence[NumberColumn], surveys: Surveys) -> list[str]:
    """A sentence for each column of numbers such as 23.59 that may be times of the day."""
    asked = [
        column
        for column in columns
        if column.minimum >= 0
        and _LEAST_HOURS - 1 <= column.maximum <= _LAST_MINUTE
        and (column.distinct or 0) >= _LEAST_MINUTES
        and not column.whole
        and not column.unit
    ]
    if not asked:
        return []
    found = []
    for column in asked:
        value = number_sql(surveys.typed[column.name].column)
        hundredths = f"round({value} * 100)::INTEGER"
        clock = f"abs({value} * 100 - {hundredths}) < 1e-6 AND {hundredths} % 100 < 60"
        found.append(
            f"CASE WHEN bool_and({value} IS NULL OR ({clock})) "
            f"THEN list(DISTINCT {hundredths}) ELSE [-1] END"
        )
    rows = table.joined(f"SELECT [{', '.join(found)}] AS times FROM {table.rows} WHERE {MARK}")
    shares = [row["times"] for row in rows.to_pylist()]
    said = []
    for column, *parts in zip(asked, *shares, strict=True):
        times = {one for part in parts for one in part or () if one is not None}
        hours, minutes = {one // 100 for one in times}, {one % 100 for one in times}
        if -1 in times or len(hours) < _LEAST_HOURS or len(minutes) < _LEAST_MINUTES:
            continue
        name, last = quote_name(column.name), max(times)
        number = f"try_cast(replace({name}::VARCHAR, ',', '.') AS DOUBLE)"
        minute = f"round(100 * {number})::BIGINT"
        clock = f"printf('%02d:%02d', {minute} // 100, {minute} % 100)"
        said.append(
            f"Column {column.name!r} may hold times of the day with a point: its numbers go "
            f"to {last / 100:.2f}, and none ends in 60 to 99. If so, write them as "
            f"{last // 100:02d}:{last % 100:02d}"
            f"{query_text(table, f'* REPLACE ({clock} AS {name})')}"
        )
    return said


def _days_of_years(table: Table, column: NumberColumn, surveys: Surveys) -> list[str]:
    """A sentence if the numbers may be days of years such as 2024366."""
    low, high = column.minimum, column.maximum
    many = column.whole and (column.distinct or 0) >= _LEAST_DAYS
    if not many or not 1900_001 <= low < high <= 2100_366 or low // 1000 == high // 1000:
        return []
    value = number_sql(surveys.typed[column.name].column)
    none = f"{value} % 1000 NOT BETWEEN 1 AND 366"
    found = table.joined(f"SELECT count_if({none}) AS n FROM {table.rows} WHERE {MARK}")
    if any(found.column(0).to_pylist()):
        return []
    name = quote_name(column.name)
    digits = f"try_cast({name} AS BIGINT)"
    day = f"make_date({digits} // 1000, 1, 1) + ({digits} % 1000 - 1)::INTEGER"
    first = datetime.date(int(low // 1000), 1, 1) + datetime.timedelta(low % 1000 - 1)
    return [
        f"Column {column.name!r} may hold days of years as numbers ({low:.0f} to {high:.0f}). If "
        f"so, write them as {first}{query_text(table, f'* REPLACE ({day} AS {name})')}"
    ]


def _epochs(column: NumberColumn) -> list[str]:
    """A sentence if the numbers may be seconds, or fractions of them, since 1970."""
    if (column.distinct or 0) < _LEAST_TIMES or column.minimum <= 0:
        return []
    unit = epoch_unit(column.maximum)
    low, high = (end * EPOCHS[unit] for end in (column.minimum, column.maximum))
    if not (_RECENT[0] <= low and high <= _RECENT[1]):
        return []
    words = {"epoch s": "seconds", "epoch ms": "milliseconds", "epoch us": "microseconds"}
    return [
        f"Column {column.name!r} may count {words.get(unit, 'nanoseconds')} since 1970 "
        f"({day_text(low)} to {day_text(high)}). If so, give "
        f"{option_text('datetime', [column.name])}"
    ]


def _numbered_days_with_times(table: Table, column: NumberColumn) -> list[str]:
    """A sentence if the numbers may be times of days, such as 2024013112 or 20240131120000."""
    for form, example in (
        ("%Y%m%d%H", "hours"),
        ("%Y%m%d%H%M", "minutes"),
        ("%Y%m%d%H%M%S", "seconds"),
    ):
        ends = [f"{end:.0f}" for end in (column.minimum, column.maximum)]
        try:
            low, high = (datetime.datetime.strptime(end, form) for end in ends)
        except ValueError:
            continue
        length = len(low.strftime(form))
        if {len(end) for end in ends} != {length} or (column.distinct or 0) < _LEAST_TIMES:
            continue
        if not 1900 <= low.year <= high.year <= 2100:
            continue
        name = quote_name(column.name)
        parsed = f"try_strptime(try_cast({name} AS BIGINT)::VARCHAR, {quote_text(form)})"
        return [
            f"Column {column.name!r} may hold days with their {example} as numbers ({ends[0]} to "
            f"{ends[1]}). If so, write them as {low:%Y-%m-%d %H:%M}"
            f"{query_text(table, f'* REPLACE ({parsed} AS {name})')}"
        ]
    return []


def _numbered_dates(table: Table, column: NumberColumn, surveys: Surveys) -> list[str]:
    """A sentence if the numbers may be dates such as 20240131, or months such as 202401."""
    if not surveys.numbers[column.name].whole:
        return []
    for what, pattern, form, least in (
        ("dates", DAY_NUMBER, "%Y%m%d", _LEAST_TIMES),
        ("months", MONTH_NUMBER, "%Y%m", _LEAST_MONTHS),
    ):
        try:
            ends = [
                datetime.datetime.strptime(f"{end:.0f}", form)
                for end in (column.minimum, column.maximum)
            ]
        except ValueError:
            continue
        if (column.distinct or 0) < least or not 1900 <= ends[0].year <= ends[1].year <= 2100:
            continue
        source = surveys.typed[column.name].column
        none = f"({number_sql(source)}) IS NOT NULL AND ({time_sql(source, pattern)}) IS NULL"
        found = table.joined(f"SELECT count_if({none}) AS n FROM {table.rows} WHERE {MARK}")
        if any(found.column(0).to_pylist()):
            continue
        shown = " to ".join(
            end.strftime("%Y-%m-%d" if pattern == DAY_NUMBER else "%Y-%m") for end in ends
        )
        return [
            f"Column {column.name!r} may hold {what} as numbers ({shown}). "
            f"If so, give {option_text('datetime', [column.name])}"
        ]
    return []


def day_text(microseconds: float) -> str:
    """The date of microseconds since 1970, as 2024-12-31."""
    try:
        day = datetime.date(1970, 1, 1) + datetime.timedelta(days=math.floor(microseconds / DAY))
    except OverflowError:
        return f"{microseconds:g} µs"
    return day.isoformat()
