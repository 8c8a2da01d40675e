"""Narrow a wide table to the columns that a query uses.

DuckDB looks at every column of `SELECT *` each time a query is planned, in time that grows faster
than their number: a table of 4,000 columns that is asked about 64 of them at a time would spend
minutes on nothing else.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import final

from descend.data.reading.sql import RESERVED, quote_name

NARROW = 128
"""With at most this many columns, a query gets all of them."""
COLUMNS_AT_ONCE = 1024
"""Columns of a query. DuckDB keeps room for 2,048 rows of each, however few there are."""

_TOKENS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
_NUMBERS = itertools.count()

Build = Callable[[Sequence[str]], str]
"""`columns to select -> SQL relation`."""


def columns_in(sql: str, known: Mapping[str, int]) -> list[str]:
    """The columns that occur in SQL, in their order.

    Args:
        sql: with columns in double quotes.
        known: index of each column by its SQL.
    """
    found = {token for token in _TOKENS.findall(sql) if token in known}
    return sorted(found, key=known.__getitem__)


@final
class Rows:
    """The SQL relation for the rows of a table, narrowed to the columns that a query uses.

    Attributes:
        text: a placeholder for the relation, which `filled` replaces.
        build: makes the relation with some columns.
    """

    def __init__(self, columns: Sequence[str], build: Build) -> None:
        self.build = build
        self.wide = len(columns) > NARROW
        self._known = {name: place for place, name in enumerate(columns)}
        mark = quote_name(f"{RESERVED}rows {next(_NUMBERS)}")
        self.text = mark if self.wide else build(["*"])

    def filled(self, sql: str) -> str:
        """SQL with the placeholder replaced by a relation of the columns that the SQL uses."""
        if not self.wide or self.text not in sql:
            return sql
        return sql.replace(self.text, self.build(columns_in(sql, self._known)))

    def columns_of(self, sql: str) -> list[str]:
        """The columns that occur in SQL."""
        return columns_in(sql, self._known)
