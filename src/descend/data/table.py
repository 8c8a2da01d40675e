"""A table of any kind, read by DuckDB: its columns, aggregates over it, its rows in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import pyarrow as pa


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


@final
class Table:
    """Rows that DuckDB reads, never held in Python's memory as a whole.

    Made by `open_table`. The rows have numbers from 0 in the order of the source, the same on
    every reading.

    Attributes:
        name: what the user gave, for messages.
        columns: in the order of the source.
    """

    name: str
    columns: tuple[TableColumn, ...]

    def fingerprint(self) -> dict[str, Any]:
        """What tells this content from another: files with sizes and times, or a hash; columns."""
        raise NotImplementedError

    def count(self) -> int:
        """How many rows there are."""
        raise NotImplementedError

    def aggregate(self, expressions: Mapping[str, str], *, where: str = "true") -> dict[str, Any]:
        """One row of aggregates.

        Args:
            expressions: SQL for each result's name; columns are named by `sql_name`, and
                `row_number` is the source row number from 0.
            where: an SQL condition on the rows.
        """
        raise NotImplementedError

    def query(self, sql: str) -> pa.Table:
        """A small result of a SELECT whose source is written `{rows}`, `row_number` included."""
        raise NotImplementedError

    def batches(self, select: Sequence[str], *, rows: int = 65536) -> Iterator[pa.RecordBatch]:
        """The rows in source order, `rows` at a time.

        Args:
            select: SQL expressions; they become columns "0", "1", ... of the batches.
            rows: most rows of a batch.

        Yields:
            Record batches; the last column, `row_number`, is int64 from 0.
        """
        raise NotImplementedError

    def reading(self, types: Mapping[str, str]) -> Table:
        """The same table with columns of CSV files read as `number` or `text` as named."""
        raise NotImplementedError


def open_table(data: Any, *, memory: int | None = None) -> Table:
    """Open whatever the user calls a table.

    Args:
        data: a path, a glob, a URL, an SQL query, a list of paths, a pandas, Polars or PyArrow
            table, or arrays `(X, y)`: their columns are then `x0`, `x1`, ... and `y`.
        memory: bytes that DuckDB may use; beyond them it writes to temporary files.

    Raises:
        DataError: there is no such file, or it cannot be read as a table.
    """
    raise NotImplementedError
