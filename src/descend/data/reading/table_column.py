"""A column as a table has it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from descend.data.reading.csv_files import quote_name

_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$|FLOAT$|DOUBLE$|DECIMAL")


@dataclass(frozen=True)
class TableColumn:
    """A column as the table has it.

    Attributes:
        name: as the user wrote it.
        type: `number`, `text`, `boolean`, `time`, `date`, `datetime` or `other`.
        sql_type: DuckDB's name of the type.
    """

    name: str
    type: str
    sql_type: str

    @property
    def sql(self) -> str:
        """The column in SQL."""
        return quote_name(self.name)


def column_of(name: str, sql_type: str) -> TableColumn:
    """The column that DuckDB describes so."""
    return TableColumn(name, _type_of(sql_type), sql_type)


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
