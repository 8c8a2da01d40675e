"""A column as a table has it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from descend.data.reading.missing import NULLS
from descend.data.reading.number_text import POINT
from descend.data.reading.sql import RESERVED, quote_name

_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$|FLOAT$|DOUBLE$|DECIMAL|INTERVAL$")


@dataclass(frozen=True)
class TableColumn:
    """A column as the table has it.

    Attributes:
        name: as the user wrote it.
        type: `number`, `text`, `boolean`, `time`, `date`, `datetime` or `other`; what text holds
            is found by `text_types`.
        sql_type: DuckDB's name of the type.
        stored: its name in SQL where that is another one, see `stored_name`.
        written: how numbers are written where they stand as text: `POINT`, `COMMA`, `DURATION`.
        nulls: what stands for a missing value: texts, and for numbers the texts of numbers.
    """

    name: str
    type: str
    sql_type: str
    stored: str | None = None
    written: str = POINT
    nulls: tuple[str, ...] = ()

    @property
    def sql(self) -> str:
        """The column in SQL."""
        return quote_name(self.stored or self.name)

    @property
    def is_text(self) -> bool:
        """Whether the values are stored as text, whatever they stand for."""
        return _type_of(self.sql_type) == "text"


def column_of(name: str, sql_type: str) -> TableColumn:
    """The column that DuckDB describes so."""
    kind = _type_of(sql_type)
    nulls = NULLS if kind == "text" else ()
    if name.startswith(RESERVED):
        return TableColumn(name[len(RESERVED) :], kind, sql_type, name, nulls=nulls)
    return TableColumn(name, kind, sql_type, nulls=nulls)


def stored_name(name: str) -> str:
    """The name of a user's column in a table of DuckDB's own.

    A column called `rowid` would hide the numbers of its rows, which are called so.
    """
    return f"{RESERVED}{name}" if name.lower() == "rowid" else name


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
