"""Whole numbers too long for float64, which makes different ones equal: they are codes.

Card and account numbers, 20-digit product codes and the like are read as text where as numbers
some of them would become one, however they are stored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from descend.data.reading.expressions import category_sql, number_sql
from descend.data.reading.formats import MOST_EXACT
from descend.data.reading.shared_groups import count_distinct
from descend.data.reading.table import Table
from descend.data.reading.table_column import TableColumn

_EXACT = re.compile(r"U?(BIG|HUGE)INT$|DECIMAL")
"""Types that hold whole numbers of more digits than a DOUBLE does."""
_FEW_LOST = 0.05
"""Largest share of values that may become equal to others where values hardly repeat: such a
column is of clocks or counts, and as text it would be left out."""
_REPEATED = 0.5
_NARROW = 1e-11
"""Least width of a column of numbers beside its largest: narrower ones are equal to rounding."""
_COLUMNS_AT_ONCE = 256


def merging_columns(table: Table, columns: Sequence[TableColumn], long: Sequence[str]) -> set[str]:
    """The columns of numbers whose different values would be one number.

    Args:
        table: to read.
        columns: of numbers.
        long: names of the columns of text that hold whole numbers of 16 digits and more.
    """
    exact = [
        one
        for one in columns
        if one.name in long or (not one.is_text and _EXACT.match(one.sql_type))
    ]
    return {one.name for one in _beyond_exact(table, exact) if _merges(table, one)}


def _beyond_exact(table: Table, columns: Sequence[TableColumn]) -> list[TableColumn]:
    """The columns that hold a number which a DOUBLE may not hold."""
    found: list[TableColumn] = []
    for start in range(0, len(columns), _COLUMNS_AT_ONCE):
        group = columns[start : start + _COLUMNS_AT_ONCE]
        tests = [f"coalesce(max(abs({number_sql(one)})) >= {MOST_EXACT}, false)" for one in group]
        shares = table.joined(f"SELECT [{', '.join(tests)}] AS beyond FROM {table.rows}")
        flags = [row["beyond"] for row in shares.to_pylist()]
        found += [one for one, *beyond in zip(group, *flags, strict=True) if any(beyond)]
    return found


def _merges(table: Table, column: TableColumn) -> bool:
    number = number_sql(column)
    text = category_sql(column, "text")
    numbers, texts = count_distinct(table, number), count_distinct(table, text)
    sizes = table.joined(
        f"SELECT count({number}) AS n, min({number}) AS low, max({number}) AS high "
        f"FROM {table.rows}"
    ).to_pylist()
    known = [row for row in sizes if row["n"]]
    if not known or texts < 2:
        return False
    count = sum(row["n"] for row in known)
    low, high = min(row["low"] for row in known), max(row["high"] for row in known)
    lost = texts - numbers
    repeated = texts <= _REPEATED * count
    return (
        lost > _FEW_LOST * texts
        or (lost > 0 and repeated)
        or high - low <= _NARROW * max(abs(low), abs(high))
    )
