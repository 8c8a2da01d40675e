"""A column of a table, with its type and its name in SQL."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from descend.data.reading.missing import NULLS
from descend.data.reading.number_text import POINT
from descend.data.reading.sql import RESERVED, quote_name

T = TypeVar("T")
_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$|FLOAT$|DOUBLE$|DECIMAL|INTERVAL$")


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    Attributes:
        name: as the user wrote it.
        type: `number`, `text`, `boolean`, `time`, `date`, `datetime` or `other`; what text stands
            for is decided by `text_types`.
        sql_type: DuckDB's name of the type.
        stored: its name in SQL if that differs, see `stored_name`.
        written: how numbers are written, if they are text: `POINT`, `COMMA`, `DURATION`.
        nulls: texts for missing; in a column of numbers, the texts of numbers.
        two_widths: whether some of the files hold its numbers in float32 and others in float64.
    """

    name: str
    type: str
    sql_type: str
    stored: str | None = None
    written: str = POINT
    nulls: tuple[str, ...] = ()
    two_widths: bool = False

    @property
    def sql(self) -> str:
        """The column as SQL."""
        return quote_name(self.stored or self.name)

    @property
    def shown_type(self) -> str:
        """The type in messages."""
        return self.sql_type if self.type == "other" else f"{self.type} ({self.sql_type})"

    @property
    def is_text(self) -> bool:
        """Whether the values are stored as text."""
        return _type_of(self.sql_type) == "text"


def column_of(name: str, sql_type: str, *, two_widths: bool = False) -> TableColumn:
    """The column with a name and a type of DuckDB; see `TableColumn` for the rest."""
    kind = _type_of(sql_type)
    nulls = NULLS if kind == "text" else ()
    stored = None
    if name.startswith(RESERVED):
        name, stored = name[len(RESERVED) :], name
    return TableColumn(name, kind, sql_type, stored, nulls=nulls, two_widths=two_widths)


def groups_of(columns: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Columns, a few at a time, that one query looks at: each query takes time to plan."""
    for start in range(0, len(columns), size):
        yield columns[start : start + size]


def stored_name(name: str) -> str:
    """The name of a user's column in a table inside DuckDB.

    A column called `rowid` would hide DuckDB's row numbers of the same name.
    """
    return f"{RESERVED}{name}" if name.lower() == "rowid" else name


def is_zoned(sql_type: str) -> bool | None:
    """Whether values of a type of DuckDB are instants; None for what is no day with a time."""
    if not sql_type.startswith("TIMESTAMP"):
        return None
    return sql_type.startswith("TIMESTAMPTZ") or "TIME ZONE" in sql_type


def stamp_sql(value: str, sql_type: str) -> str:
    """SQL: the TIMESTAMP of a date or time, in UTC where it has a zone; NULL if it has none.

    >>> stamp_sql("day", "DATE")
    'try_cast(day AS TIMESTAMP)'
    """
    if sql_type == "TIMESTAMPTZ_NS":  # DuckDB converts it to a TIMESTAMP in two steps only.
        value = f"try_cast({value} AS TIMESTAMPTZ)"
    return f"try_cast({value} AS TIMESTAMP)"


@functools.cache
def _type_of(sql_type: str) -> str:
    if _NUMBER.match(sql_type):
        return "number"
    if sql_type in ("VARCHAR", "UUID", '"NULL"', "NULL") or sql_type.startswith("ENUM"):
        return "text"
    if sql_type.startswith("TIMESTAMP"):
        return "datetime"
    if sql_type.startswith("TIME"):
        return "time"
    return {"BOOLEAN": "boolean", "DATE": "date"}.get(sql_type, "other")
