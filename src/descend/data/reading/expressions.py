"""SQL that reads a column as a number, a category or a time, however it is stored.

Only this module decides what a value means: training and prediction both read columns through
these expressions.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator

from descend.data.reading.missing import missing_sql
from descend.data.reading.number_text import (
    COMMA,
    POINT,
    number_text_sql,
    stripped_sql,
    whole_text_sql,
)
from descend.data.reading.periods import PERIODS, QUARTER, WEEK, period_sql
from descend.data.reading.sql import quote_text, text_list, with_value
from descend.data.reading.table_column import TableColumn
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


_EXACT_DIGITS = 16
"""Whole numbers with fewer digits are below 2⁵³, up to which a DOUBLE holds each."""

_OFFSET = "(?:[Zz]|UTC|GMT|[-+][0-9]{2}(?::?[0-9]{2})?)"
_COARSE_TIMES = ("TIMESTAMP_S", "TIMESTAMP_MS")
"""Types that hold times of which DuckDB cannot write the text."""

TRUE = ("true", "t", "yes", "y", "on", "1")
FALSE = ("false", "f", "no", "n", "off", "0")
"""Texts for true and false in a column of booleans, in any letter case."""


def text_sql(column: TableColumn) -> str:
    """SQL: the text without spaces around it, and without what Excel writes around text."""
    return stripped_sql(_cell_text(column))


def _cell_text(column: TableColumn) -> str:
    return f"{column.sql}::VARCHAR" if column.sql_type != "VARCHAR" else column.sql


def number_sql(column: TableColumn) -> str:
    """SQL: DOUBLE; NULL for missing, NaN and text that is no number."""
    if column.is_text and column.type == "boolean":
        number = f"CASE {category_sql(column)} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END::DOUBLE"
    elif column.is_text:
        number = number_text_sql(f"{column.sql}::VARCHAR", column.written)
        number = f"nullif({number}, 'NaN'::DOUBLE)"
    elif column.sql_type in ("DOUBLE", "FLOAT"):
        number = f"nullif({column.sql}::DOUBLE, 'NaN'::DOUBLE)"
    elif column.sql_type in ("INTERVAL", "TIME"):
        number = f"epoch({column.sql})::DOUBLE"
    else:
        number = f"CAST({column.sql} AS DOUBLE)"
    marks = listed_numbers_sql(column)
    return (
        f"CASE WHEN list_position({marks}, {number}) IS NULL THEN {number} END" if marks else number
    )


def listed_numbers_sql(column: TableColumn) -> str:
    """SQL: a list of the numbers that stand for a missing value; empty if there are none."""
    listed = ", ".join(f"'{value!r}'::DOUBLE" for value in numbers_in(column.nulls))
    return f"[{listed}]" if listed else ""


def float_sql(column: TableColumn) -> str:
    """SQL: as `number_sql`, for readers that take NaN for missing as well as NULL.

    DuckDB plans a column as it stands in a quarter of the time of an expression.
    """
    plain = column.sql_type == "DOUBLE" and next(numbers_in(column.nulls), None) is None
    return column.sql if plain else number_sql(column)


def category_sql(column: TableColumn, kind: str | None = None) -> str:
    """SQL: the text that identifies a value, however it is stored; NULL for missing.

    Whole numbers have no decimal point and no plus sign; true is `true` in a column of booleans
    and `1` in one of numbers; leading zeros stay. An accent is the same whether it is one
    character with its letter or one of its own (Unicode's NFC and NFD).

    Args:
        column: where the values are.
        kind: of the values compared with: `number`, `boolean` or `text`; `label` leaves text as it
            is; None is the column's own type.
    """
    kind = kind or column.type
    found = with_value(_value_text(column), lambda text: _category(text, column, kind))
    if kind != "number" or not column.is_text or column.type == "boolean":
        return found
    if any(True for _ in numbers_in(column.nulls)):  # Some whole numbers are missing values.
        return found
    cell = _cell_text(column)
    return f"CASE WHEN {plainly_whole_sql(cell)} THEN {cell} ELSE {found} END"


def plainly_whole_sql(text: str) -> str:
    """SQL: whether a text is a whole number as all write it: 12, not +12 or 12.0.

    To find it out takes a sixth of the time of `category_sql`, which leaves such text as it is.
    """
    return f"regexp_full_match({text}, '0|-?[1-9][0-9]{{0,14}}')"


def _category(text: str, column: TableColumn, kind: str) -> str:
    """SQL: the text that identifies a value; NULL for missing."""
    value = text
    if kind == "boolean":
        whole = f"lower({_whole(text)})"
        value = f"""CASE WHEN list_position({text_list(TRUE)}, {whole}) IS NOT NULL THEN 'true'
            WHEN list_position({text_list(FALSE)}, {whole}) IS NOT NULL THEN 'false'
            ELSE {text} END"""
    elif kind == "number" and column.type == "boolean":
        truth = _category(text, column, "boolean")
        return f"CASE {truth} WHEN 'true' THEN '1' WHEN 'false' THEN '0' END"
    elif kind == "number" and column.is_text:
        value = _number_text(text, column.written)
    elif kind != "label" and column.is_text:
        value = f"CASE WHEN {_is_foreign(text)} THEN nfc_normalize({text}) ELSE {_whole(text)} END"
    nulls = (column.nulls or ("",)) if column.is_text else column.nulls
    if not nulls:
        return value
    missing = missing_sql(text, nulls, marks=kind == "boolean")
    numbers = [as_number_text(one) for one in numbers_in(nulls)]
    if numbers and kind != "label":  # Of -999 as a mark, -999.0 is another spelling.
        return with_value(
            value,
            lambda found: (
                f"""CASE WHEN NOT {missing}
                AND list_position({text_list(numbers)}, {found}) IS NULL THEN {found} END"""
            ),
        )
    return f"CASE WHEN NOT {missing} THEN {value} END"


def _value_text(column: TableColumn) -> str:
    """SQL: the text of a value; for a number, the shortest one that gives it back."""
    if column.is_text:
        return text_sql(column)
    if column.type == "number" and column.sql_type in ("DOUBLE", "FLOAT"):
        return _double_text(column.sql, decimal=column.two_widths)
    if column.sql_type.startswith("TIMESTAMP"):
        return _moment_text(f"try_cast({column.sql} AS TIMESTAMP)")
    if column.sql_type.startswith("DECIMAL"):
        text = f"regexp_replace({column.sql}::VARCHAR, '(\\.[0-9]*?)0+$', '\\1')"
        return f"rtrim({text}, '.')"
    return f"{column.sql}::VARCHAR"


def _double_text(value: str, *, decimal: bool = False) -> str:
    """SQL: the shortest text of a DOUBLE or FLOAT.

    Args:
        value: SQL of the number.
        decimal: whether a number that float32 holds has the text that it has in float32: 0.1,
            where float64 has made 0.10000000149011612 of it.
    """
    # Whole numbers in full, where DuckDB would write 1e+18. Adding 0 turns -0 into 0.
    narrow = f"try_cast({value} AS FLOAT)"
    short = f"WHEN {narrow} = {value} THEN {narrow}::VARCHAR" if decimal else ""
    return f"""CASE WHEN isnan({value}) THEN NULL
        WHEN {value} = floor({value}) AND abs({value}) < 1e18 THEN {value}::BIGINT::VARCHAR
        {short} ELSE {value}::VARCHAR END"""


def _moment_text(stamp: str) -> str:
    """SQL: the text of a TIMESTAMP; at midnight that of its date, which tables mix with it."""
    return f"regexp_replace({stamp}::VARCHAR, ' 00:00:00$', '')"


def _is_foreign(text: str) -> str:
    """SQL: whether a text has letters beyond ASCII, which take more than a byte."""
    return f"strlen({text}) > length({text})"


def _whole(text: str) -> str:
    """SQL: 1.0 becomes 1, and 2024-12-31T00:00 2024-12-31; other text is unchanged."""
    pattern = quote_text(r"^([-+]?[0-9]+)\.0+$")
    moment = f"length({text}) > 10 AND substr({text}, 5, 1) = '-' AND substr({text}, 8, 1) = '-'"
    return (
        f"CASE WHEN {moment} THEN coalesce({_moment_text(iso_sql(text))}, {text}) "
        f"WHEN suffix({text}, '0') THEN regexp_replace({text}, {pattern}, '\\1') "
        f"ELSE {text} END"
    )


def _number_text(text: str, written: str) -> str:
    """SQL: the canonical text of a number; other text is unchanged."""
    integer = quote_text(r"[-+]?(?:0|[1-9][0-9]*)(?:\.0*)?")
    digits = f"regexp_replace({text}, '^\\+|\\.0*$', '', 'g')"
    number = with_value(number_text_sql(text, written), _double_text)
    if written in (POINT, COMMA):
        long = (
            f"CASE WHEN length({text}) >= {_EXACT_DIGITS} THEN {whole_text_sql(text, written)} END"
        )
        number = f"{long}, {number}"
    return f"""CASE WHEN regexp_full_match({text}, {integer})
        THEN CASE WHEN {digits} = '-0' THEN '0' ELSE {digits} END
        WHEN lower({text}) = 'true' THEN '1' WHEN lower({text}) = 'false' THEN '0'
        ELSE coalesce({number}, {text}) END"""


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
    stamp = f"try_cast({column.sql} AS TIMESTAMP)"
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
        return f"epoch_us(DATE '1970-01-01' + {_clock_time(text)})"
    return _microseconds(nulls, text, _stamp(pattern, text))


def _other_time(nulls: tuple[str, ...], pattern: str | None, text: str, *, american: bool) -> str:
    """SQL: the microseconds of a time that is written in another way than that of a pattern."""
    if pattern == TIME:
        return f"epoch_us(DATE '1970-01-01' + {tidied_sql(text, _clock_time)})"

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
    offset = f"regexp_extract({text}, {quote_text(f'({_OFFSET})$')}, 1)"
    parsed = f"try_strptime({without_offset_sql(text)}, {quote_text(pattern)})"
    zoned = f"try_cast(concat({parsed}::VARCHAR, {offset}) AS TIMESTAMPTZ)"
    return f"CASE WHEN {offset} <> '' AND contains({text}, ':') THEN {zoned}::TIMESTAMP END"


def without_offset_sql(text: str) -> str:
    """SQL: a text of a date and a time without its offset from UTC; other text is unchanged."""
    pattern = quote_text(rf"([^:]{{6,}}:[0-9]{{2}}[^-+]*?) ?{_OFFSET}$")
    return f"regexp_replace({text}, {pattern}, '\\1')"


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
    parsed = f"try_strptime({text}, {quote_text(pattern)})"
    if "%Y" in pattern:  # Which alone would read 1/2/11 as the year 11.
        parsed = f"CASE WHEN regexp_matches({text}, '[0-9]{{4}}') THEN {parsed} END"
    return f"coalesce({parsed}, {stamp})"


HALF_DAY_CLOCKS = ("%I:%M %p", "%I:%M:%S %p", "%I:%M%p")
"""strptime patterns of times of day with AM or PM."""


def _half_day_clock(value: str) -> str:
    stamps = (f"try_strptime({value}, {quote_text(pattern)})" for pattern in HALF_DAY_CLOCKS)
    return f"try_cast(coalesce({', '.join(stamps)}) AS TIME)"


_CLOCK = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"


def clock_sql(value: str) -> str:
    """SQL: whether a text is a time of day: 13:37, 13:37:00.5 or 1:37 PM."""
    return f"({_clock_time(value)}) IS NOT NULL"


def _clock_time(value: str) -> str:
    """SQL: the TIME of a text that is a time of day, else NULL.

    DuckDB alone would leave out what follows the seconds, such as PM.
    """
    plain = f"regexp_full_match({value}, {quote_text(_CLOCK)})"
    return f"""CASE WHEN {plain} THEN try_cast({value} AS TIME)
        WHEN regexp_matches({value}, '(?i:[ap]m)$') THEN {_half_day_clock(value)} END"""


def iso_sql(value: str) -> str:
    """SQL: the TIMESTAMP of ISO 8601 text, else NULL; with an offset from UTC, that of UTC.

    DuckDB alone would read 31/01/20 as the year 31, and leave out what follows the minutes or the
    seconds: an offset, or PM. Here a year needs four digits, and anything else that follows makes
    the text no time.
    """
    digits = " AND ".join(f"substr({value}, {place}, 1) BETWEEN '0' AND '9'" for place in (2, 3))
    # The commonest forms are told apart by their length, which is faster than a pattern.
    usual = f"""(length({value}) = 10 OR length({value}) = 19 AND substr({value}, 17, 1) = ':'
        AND substr({value}, 19, 1) BETWEEN '0' AND '9')"""
    rest = f"substr({value}, 9)"
    bare = f"NOT regexp_matches({rest}, '[^0-9:. T]')"
    zoned = quote_text(f".*[0-9] ?{_OFFSET}")
    joined = f"replace(regexp_replace({value}, ' ?(?:GMT|([-+][0-9:]+))$', '\\1'), ',', '.')"
    # Logs write the fraction of a second with a comma, as ISO 8601 allows.
    comma = quote_text("[^,]*:[0-9]{2}:[0-9]{2},[0-9]{1,9}")
    pointed = f"try_cast(replace({value}, ',', '.') AS TIMESTAMP)"
    return f"""CASE WHEN {digits} THEN
        CASE WHEN {usual} OR {bare} THEN try_cast({value} AS TIMESTAMP)
            WHEN regexp_full_match(substr({value}, 11), {zoned})
                THEN try_cast(try_cast({joined} AS TIMESTAMPTZ) AS TIMESTAMP)
            WHEN regexp_full_match({value}, {comma}) AND regexp_matches({rest}, '^[0-9:, T]*$')
                THEN {pointed} END END"""


LOCAL, ZONED = "local", "zoned"
"""A text that ends in a time of day, and one that ends in such a time with an offset from UTC."""


def clock_zone_sql(value: str) -> str:
    """SQL: `LOCAL` or `ZONED` for a text with a date and a time of day, else an empty text."""
    clock = r".*[0-9].*[ T:][0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?"
    local = quote_text(rf"{clock}(?: ?[AaPp]\.?[Mm]\.?)?")
    zone = rf"(?:{_OFFSET}(?:\[.*\])?|[A-Z]{{3,5}})"
    zoned = quote_text(rf"{clock}(?: ?[AaPp]\.?[Mm]\.?)? ?{zone}")
    return f"""CASE WHEN NOT contains({value}, ':') THEN ''
        WHEN regexp_full_match({value}, {local}) THEN {quote_text(LOCAL)}
        WHEN regexp_full_match({value}, {zoned}) THEN {quote_text(ZONED)} ELSE '' END"""


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
        return (
            f"CASE WHEN {column.sql} IS NOT NULL THEN coalesce({_value_text(column)}, {beyond}) END"
        )
    return f"{column.sql}::VARCHAR"


def _not_listed_sql(column: TableColumn) -> str:
    """SQL: a time is not among those that stand for a missing one."""
    listed = ", ".join(f"try_cast({quote_text(text)} AS TIMESTAMP)" for text in column.nulls)
    return f"list_position([{listed}], try_cast({column.sql} AS TIMESTAMP)) IS NULL"


def class_sql(column: TableColumn, kind: str | None = None) -> str:
    """SQL: the text of a class, as the user wrote it; NULL if the row has none.

    Args:
        column: where the classes are.
        kind: of the classes: `number`, `boolean` or `text`; None is the column's own type.
    """
    kind = kind or column.type
    if kind == "number":
        number = f"({number_sql(column)}) IS NOT NULL" if column.type != "boolean" else "true"
        return f"CASE WHEN {number} THEN {category_sql(column, 'number')} END"
    return category_sql(column, "boolean" if kind == "boolean" else "label")


def present_sql(column: TableColumn) -> str:
    """SQL: whether a row has a target: a number, or a class."""
    if column.type == "number":
        return f"({number_sql(column)}) IS NOT NULL"
    if column.type in ("text", "boolean"):
        return f"({class_sql(column, column.type)}) IS NOT NULL"
    return f"{column.sql} IS NOT NULL"


def written_sql(column: TableColumn) -> str:
    """SQL: whether a cell of numbers or dates holds anything but a text for missing."""
    if column.is_text:
        text = text_sql(column)
        missing = with_value(
            text, lambda value: missing_sql(value, ("", *column.nulls), marks=True)
        )
        marks = listed_numbers_sql(column)
        if column.type == "number" and marks:
            number = number_text_sql(f"{column.sql}::VARCHAR", column.written)
            missing = f"({missing} OR list_position({marks}, {number}) IS NOT NULL)"
        return f"({column.sql} IS NOT NULL AND NOT {missing})"
    if column.sql_type in ("DOUBLE", "FLOAT"):
        return f"({column.sql} IS NOT NULL AND NOT isnan({column.sql}))"
    return f"{column.sql} IS NOT NULL"


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


def as_number_text(number: float) -> str:
    """The text by which `category_sql` identifies a number."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e18 else str(number)


def numbers_in(texts: Iterable[str]) -> Iterator[float]:
    """The texts that are finite numbers, as numbers."""
    for text in texts:
        try:
            value = float(text)
        except ValueError:
            continue
        if math.isfinite(value):
            yield value
