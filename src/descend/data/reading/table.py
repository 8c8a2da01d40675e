"""A table of any kind, read by DuckDB: its columns, aggregates over it, its rows in order."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import pyarrow as pa

from descend.data.reading.csv_files import quote_name, quote_text
from descend.data.reading.frames import arrow_table, content_hash
from descend.data.reading.read_errors import check_names, reading
from descend.data.reading.sources import Source, find_source
from descend.errors import DataError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ROW = '"row number"'
"""SQL for the source row number, from 0, in `Table.rows`."""

_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$|FLOAT$|DOUBLE$|DECIMAL")
_IN_ORDER = {"PROJECTION", "FILTER", "STREAMING_LIMIT", "LIMIT", "UNION", "DUMMY_SCAN"}

_NUMBERS = itertools.count()


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


@final
class Table:
    """Rows that DuckDB reads, never held in Python's memory as a whole.

    Made by `open_table`. The rows have numbers from 0 in the order of the source, the same on
    every reading.

    Attributes:
        name: what the user gave, for messages.
        columns: in the order of the source.
    """

    def __init__(self, source: Source, connection: DuckDBPyConnection) -> None:
        self.name = source.name
        self._source = source
        self._connection = connection
        described = self.query(f"DESCRIBE SELECT * FROM {source.relation}").to_pylist()
        self.columns = tuple(
            TableColumn(row["column_name"], _type_of(row["column_type"]), row["column_type"])
            for row in described
        )

    @property
    def rows(self) -> str:
        """What stands after FROM: the columns and `ROW`, the source row number from 0.

        A query with `ROW` in it is run in source order by one thread, so sums are the same to
        the last bit every time.
        """
        return f"(SELECT *, row_number() OVER () - 1 AS {ROW} FROM {self._source.relation})"

    def column(self, name: str) -> TableColumn | None:
        """The column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def fingerprint(self) -> dict[str, Any]:
        """What tells this content from another: files with sizes and times, or a hash; columns."""
        record: dict[str, Any] = {
            "columns": [[column.name, column.sql_type] for column in self.columns],
        }
        files = []
        for path in self._source.files:
            with reading(path):
                status = os.stat(path)
            files.append(
                {
                    "path": os.path.abspath(path),
                    "size": status.st_size,
                    "mtime_ns": status.st_mtime_ns,
                }
            )
        if files:
            record["files"] = files
        elif isinstance(self._source.objects.get("source"), pa.Table):
            record["hash"] = content_hash(self._source.objects["source"])
        else:
            record["name"] = self.name
        if self._source.query is not None:
            record["query"] = self._source.query
        return record

    def count(self) -> int:
        """How many rows there are."""
        return int(self.aggregate({"rows": "count(*)"})["rows"])

    def aggregate(self, expressions: Mapping[str, str], *, where: str = "true") -> dict[str, Any]:
        """One row of aggregates.

        Args:
            expressions: SQL for each result's name.
            where: an SQL condition on the rows.
        """
        if not expressions:
            return {}
        select = ", ".join(f"{sql} AS {quote_name(key)}" for key, sql in expressions.items())
        source = self._source.relation
        if any(ROW in text for text in (select, where)):
            source = self.rows
        row: dict[str, Any] = self.query(
            f"SELECT {select} FROM {source} WHERE {where}"
        ).to_pylist()[0]
        return row

    def query(self, sql: str) -> pa.Table:
        """The result of an SQL query over `self.rows`; it is held in memory, so keep it small."""
        with reading(self.name, query=self._source.query is not None):
            return self._cursor().sql(sql).to_arrow_table()

    @contextmanager
    def kept(self, sql: str) -> Iterator[str]:
        """The name of a table with the result of a query, kept by DuckDB inside the `with`."""
        name = f"kept_{next(_NUMBERS)}"
        with reading(self.name, query=self._source.query is not None):
            self._cursor().execute(f"CREATE TABLE {name} AS {sql}").fetchall()
        try:
            yield name
        finally:
            self._cursor().execute(f"DROP TABLE {name}").fetchall()

    @property
    def text_bytes(self) -> int:
        """Bytes of the local text files (CSV, JSON) that are read; 0 for other sources."""
        text = self._source.csv is not None or self._source.relation.startswith("read_json(")
        return sum(os.path.getsize(path) for path in self._source.files) if text else 0

    @contextmanager
    def copied(self, path: Path | None) -> Iterator[Table]:
        """The same rows in DuckDB's own format, read many times as fast as text.

        Args:
            path: a file for them, which must not exist; None for memory. It is no longer in use
                when the `with` ends.
        """
        name = f"copied_{next(_NUMBERS)}"
        relation, end = name, f"DROP TABLE IF EXISTS {name}"
        cursor = self._cursor()
        with reading(self.name, query=self._source.query is not None):
            if path is not None:
                cursor.execute(f"ATTACH {quote_text(str(path))} AS {name}")
                relation, end = f"{name}.main.rows", f"DETACH {name}"
        try:
            with reading(self.name, query=self._source.query is not None):
                cursor.execute(
                    f"CREATE TABLE {relation} AS FROM {self._source.relation}"
                ).fetchall()
            _one_thread(self._connection)
            source = Source(self.name, relation, self._source.files, query=self._source.query)
            yield Table(source, self._connection)
        finally:
            self._cursor().execute(end).fetchall()
            self._cursor().execute("RESET threads").fetchall()

    def batches(self, select: Sequence[str], *, rows: int = 65536) -> Iterator[pa.RecordBatch]:
        """The rows in source order, `rows` at a time.

        Args:
            select: SQL expressions; they become columns "0", "1", ... of the batches.
            rows: most rows of a batch.

        Yields:
            Record batches; the last column, `row_number`, is int64 from 0.
        """
        listed = "".join(f'{sql} AS "{place}", ' for place, sql in enumerate(select))
        if not select:
            listed = "true, "
        source = self.rows if ROW in listed else self._source.relation
        sql = f"SELECT {listed[:-2]} FROM {source}"
        start = 0
        with reading(self.name, query=self._source.query is not None):
            cursor = self._cursor()
            for batch in cursor.sql(sql).to_arrow_reader(rows):
                count = batch.num_rows
                # pa.array would import pandas, where that is installed.
                buffer = pa.py_buffer(np.arange(start, start + count, dtype=np.int64))
                numbers = pa.Array.from_buffers(pa.int64(), count, [None, buffer])
                arrays = [*batch.columns[: len(select)], numbers]
                names = [*(str(place) for place in range(len(select))), "row_number"]
                yield pa.RecordBatch.from_arrays(arrays, names)
                start += count

    def reading(self, types: Mapping[str, str]) -> Table:
        """The same table with columns of CSV files read as `number` or `text` as named.

        Other sources have types of their own and stay as they are.
        """
        sql_types = {"number": "DOUBLE", "text": "VARCHAR"}
        changed = self._source.reading({name: sql_types[kind] for name, kind in types.items()})
        return self if changed is self._source else Table(changed, self._connection)

    def _cursor(self) -> DuckDBPyConnection:
        """A connection of its own for one query, so that several can be read side by side."""
        cursor = self._connection.cursor()
        for name, data in self._source.objects.items():
            cursor.register(name, data)
        return cursor


def open_table(data: Any, *, memory: int | None = None) -> Table:
    """Open whatever the user calls a table.

    Args:
        data: a path, a glob, a URL, an SQL query, a list of paths, a pandas, Polars or PyArrow
            table, or arrays `(X, y)`: their columns are then `x0`, `x1`, ... and `y`.
        memory: bytes that DuckDB may use; beyond them it writes to temporary files.

    Returns:
        A Table with at least one row.

    Raises:
        DataError: there is no such file, or it cannot be read as a table.

    Example:
        >>> import pyarrow as pa
        >>> open_table(pa.table({"size": [1.5, 2.5]})).count()
        2
    """
    connection = _connect(memory)

    def run(sql: str) -> pa.Table:
        name = data if isinstance(data, str) else "the files"
        with reading(str(name)):
            return connection.cursor().sql(sql).to_arrow_table()

    if isinstance(data, str | os.PathLike) or _is_paths(data):
        source = find_source(data, run)
    else:
        frame = arrow_table(data)
        source = Source("the table given", "source", objects={"source": frame})
    if source.query is not None:
        source = _in_order(source, connection)
    table = Table(source, connection)
    check_names(table.name, [column.name for column in table.columns])
    if table.query(f"SELECT 1 FROM {source.relation} LIMIT 1").num_rows == 0:
        header = " It has a header and nothing else." if source.csv else ""
        raise DataError(f"{table.name} has no rows.{header} Expected at least one row.")
    return table


def _is_paths(data: Any) -> bool:
    return isinstance(data, list) and all(isinstance(part, str | os.PathLike) for part in data)


def _connect(memory: int | None) -> DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "preserve_insertion_order": "true",
            "temp_directory": os.path.join(tempfile.gettempdir(), f"descend-{os.getpid()}"),
            "TimeZone": "UTC",
        }
    )
    if memory is not None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET memory_limit = '{memory} bytes'")
    return connection


def _in_order(source: Source, connection: DuckDBPyConnection) -> Source:
    """The query itself where its rows come in the order of its files, else its result, kept.

    Joins, groups and sorts with ties may give another order each time they run, and random
    functions other values; row numbers would then mean nothing.
    """
    assert source.query is not None
    with reading(source.name, query=True):
        cursor = connection.cursor()
        names = list(cursor.sql(source.query).columns)
        check_names(source.name, names)
        plan = cursor.sql(f"EXPLAIN (FORMAT json) {source.query}").fetchall()[0][1]
        operators = set(re.findall(r'"name": "([^"]*)"', plan))
        steady = all(name in _IN_ORDER or "SCAN" in name or "READ_" in name for name in operators)
        if steady and not re.search(
            r"random|uuid|now\(|current_|today|nextval", plan, re.IGNORECASE
        ):
            return source
        cursor.execute(f"CREATE TABLE result AS {source.query}").fetchall()
    _one_thread(connection)
    return Source(source.name, "result", source.files, query=source.query)


def _one_thread(connection: DuckDBPyConnection) -> None:
    """DuckDB reads its own tables by several threads even where rows are numbered.

    Sums would then differ in the last bits from one reading to the next, unlike those over files.
    """
    connection.cursor().execute("SET threads = 1").fetchall()


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
