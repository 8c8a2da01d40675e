"""Group the rows of a table by a value, also where several processes share the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from descend.data.reading.table import Table, new_table_name


@contextmanager
def kept_by_key(table: Table, sql: Sequence[str], key: str, merge: str) -> Iterator[str]:
    """As `Table.kept`, but of processes that share the rows each keeps the groups of some keys.

    So each holds about as many groups as if it alone had made them from its own rows.

    Args:
        table: whose rows are grouped; every process calls it.
        sql: queries over `table.rows` that group them, whose results are joined.
        key: SQL of what tells the groups apart.
        merge: a query over `parts`, rows of `sql` from several processes, that joins groups of
            the same key.

    Yields:
        The name of a temporary table in DuckDB.
    """
    sharing = table.sharing
    if sharing is None:
        with table.kept(*sql) as name:
            yield name
        return
    with table.kept(*sql) as mine:
        found: list[pa.Table] = []
        for index in range(sharing.count):
            bucket = f"SELECT * FROM {mine} WHERE hash({key}) % {sharing.count} = {index}"
            sent = sharing.tables(table.query(bucket))
            if index == sharing.index:
                found = sent
    merged = table.merge_parts(pa.concat_tables(found), merge)
    name = new_table_name()
    cursor = table.instance.cursor()
    cursor.register("merged", merged)
    with table.named_errors():
        cursor.execute(f"CREATE TABLE {name} AS SELECT * FROM merged").fetchall()
    try:
        yield name
    finally:
        table.instance.clear(f"DROP TABLE {name}")


def count_distinct(table: Table, expression: str) -> int:
    """How many different values an SQL expression has in the rows of all processes."""
    if table.sharing is None:
        return int(table.aggregate({"distinct": f"count(DISTINCT {expression})"})["distinct"])
    values = f"SELECT DISTINCT {expression} AS value FROM {table.relation_for(expression)}"
    joined = "SELECT DISTINCT value FROM parts WHERE value IS NOT NULL"
    with kept_by_key(table, [values], "value", joined) as kept:
        found = table.joined(f"SELECT count(*) AS n FROM {kept}")
    return int(sum(found.column("n").to_pylist()))
