"""SQL that reads a column as a number or a category, however it is stored.

Only this module decides what a value means: training and prediction both read columns through
these expressions. `times` is its counterpart for dates and times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from descend.data.reading.missing import missing_sql
from descend.data.reading.number_text import (
    COMMA,
    POINT,
    number_text_sql,
    stripped_sql,
    whole_text_sql,
)
from descend.data.reading.sql import quote_text, text_list, with_value
from descend.data.reading.table_column import TableColumn, stamp_sql
from descend.data.reading.time_text import iso_sql

_DURATIONS = ("INTERVAL", "TIME")
"""The types whose numbers are seconds."""
_EXACT_DIGITS = 16
"""Whole numbers with fewer digits are below 2⁵³, up to which a DOUBLE holds each."""
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
    elif column.sql_type in _DURATIONS:
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
    found = with_value(value_text_sql(column), lambda text: _category(text, column, kind))
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


def value_text_sql(column: TableColumn) -> str:
    """SQL: the text of a value; for a number, the shortest one that gives it back."""
    if column.is_text:
        return text_sql(column)
    if column.type == "number" and column.sql_type in ("DOUBLE", "FLOAT"):
        return _double_text(column.sql, decimal=column.two_widths)
    if column.type == "number" and column.sql_type in _DURATIONS:
        return _double_text(f"epoch({column.sql})::DOUBLE")
    if column.sql_type.startswith("TIMESTAMP"):
        return _moment_text(stamp_sql(column.sql, column.sql_type))
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
