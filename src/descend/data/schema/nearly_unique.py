"""Count the different values of a column where nearly all may differ, in memory of bounded size."""

from __future__ import annotations

from descend.data.reading.expressions import number_sql
from descend.data.reading.shared_groups import count_distinct
from descend.data.reading.table import MARK, Table
from descend.data.reading.table_column import TableColumn

_MOST_LOOKED_AT = 100_000


def count_nearly_unique(table: Table, column: TableColumn, seen: int) -> int:
    """How many different numbers the training rows have, of those whose values hardly repeat.

    All rows of some of the values are looked at, chosen by their hash: exact where no value
    repeats, else good to about 0.3 %. An estimate for any column would be off by up to 10 %.

    Args:
        table: with its training rows marked.
        column: of numbers.
        seen: its values in the training rows.
    """
    value = number_sql(column)
    parts = max(1, seen // _MOST_LOOKED_AT)
    chosen = f"CASE WHEN {MARK} AND hash({value}) % {parts} = 0 THEN {value} END"
    own = f"SELECT count({chosen})::BIGINT AS n FROM {table.rows}"
    found = table.merged(own, "SELECT sum(n)::BIGINT AS n FROM parts").to_pylist()[0]
    looked_at: int = found["n"]
    return round(seen * count_distinct(table, chosen) / max(1, looked_at))
