"""Open anything that a user may call a table."""

from __future__ import annotations

import os
from typing import Any

import pyarrow as pa

from descend.data.reading.connection import Instance, in_order
from descend.data.reading.errors import check_names, reading
from descend.data.reading.find_source import find_source
from descend.data.reading.formats import declared_categories
from descend.data.reading.frames import arrow_table
from descend.data.reading.options import ReadingOptions
from descend.data.reading.source import Source
from descend.data.reading.spool import Spool
from descend.data.reading.table import Table, csv_columns
from descend.data.reading.table_copies import run_once
from descend.errors import DataError
from descend.io.secrets import without_secrets


def open_table(
    data: Any, *, memory: int | None = None, options: ReadingOptions | None = None
) -> Table:
    """Open anything the user may call a table.

    Args:
        data: a path, a glob, a URL, an SQL query, a list of paths, a pandas, Polars or PyArrow
            table, or arrays `(X, y)`: their columns are then `x0`, `x1`, ... and `y`.
        memory: bytes that DuckDB may use; beyond them it writes to temporary files.
        options: how text files are written.

    Returns:
        A Table with at least one row.

    Raises:
        DataError: there is no such file, or it cannot be read as a table.

    Example:
        >>> import pyarrow as pa
        >>> open_table(pa.table({"size": [1.5, 2.5]})).count()
        2
    """
    instance = Instance(memory)
    spool = Spool()

    def run(sql: str) -> pa.Table:
        name = without_secrets(data) if isinstance(data, str) else "the files"
        with reading(name):
            return instance.cursor().sql(sql).to_arrow_table()

    if isinstance(data, str | os.PathLike) or _is_paths(data):
        with spool.naming():
            source = find_source(data, run, options or ReadingOptions(), spool)
    else:
        frame = arrow_table(data)
        declared = declared_categories([frame.schema])
        source = Source(
            "the table given", "source", objects={"source": frame}, categorical=declared
        )
    files = (*source.files, *source.reads)
    with reading(source.name, query=source.query is not None, files=files):
        for url in source.urls:
            instance.load_network(url)
        if source.query is not None:
            instance.lock(source.views, (*source.files, *source.reads), source.patterns)
    if source.query is not None:
        source = in_order(source, instance)
    csv = source.csv
    table = Table(source, instance, None if csv is None else csv_columns(csv))
    check_names(table.name, [column.name for column in table.columns])
    table = run_once(table)
    filled = table.held or (csv is not None and csv.filled)
    if not filled and table.query(f"SELECT 1 FROM {source.relation} LIMIT 1").num_rows == 0:
        header = " It has a header and nothing else." if source.csv else ""
        raise DataError(f"{table.name} has no rows.{header} Expected at least one row.")
    return table


def _is_paths(data: Any) -> bool:
    return isinstance(data, list) and all(isinstance(part, str | os.PathLike) for part in data)
