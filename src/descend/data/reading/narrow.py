"""The rows of a wide table with the columns alone that a query asks for.

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

_TOKENS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
_NUMBERS = itertools.count()

Build = Callable[[Sequence[str]], str]
"""From the columns to select, as SQL, to what stands after FROM."""


def columns_in(sql: str, known: Mapping[str, int]) -> list[str]:
    """Those of some columns that stand in SQL, in their order.

    Args:
        sql: columns stand in it in double quotes.
        known: places of the columns by their SQL.
    """
    found = {token for token in _TOKENS.findall(sql) if token in known}
    return sorted(found, key=known.__getitem__)


@final
class Rows:
    """What stands after FROM for the rows of a table, narrowed to what a query uses.

    Attributes:
        text: stands in SQL for the rows, which `filled` puts in its place.
        build: makes the rows with some columns.
    """

    def __init__(self, columns: Sequence[str], build: Build) -> None:
        self.build = build
        self.wide = len(columns) > NARROW
        self._known = {name: place for place, name in enumerate(columns)}
        mark = quote_name(f"{RESERVED}rows {next(_NUMBERS)}")
        self.text = mark if self.wide else build(["*"])

    def filled(self, sql: str) -> str:
        """SQL in which the rows stand themselves, with the columns that occur in it."""
        if not self.wide or self.text not in sql:
            return sql
        return sql.replace(self.text, self.build(columns_in(sql, self._known)))

    def columns_of(self, sql: str) -> list[str]:
        """The columns that occur in SQL."""
        return columns_in(sql, self._known)
