"""Share the rows of a table out among processes, and join what each finds in its share.

Every process reads a contiguous range of the rows, in the order of the source. Nothing here opens
a connection: `Sharing.gather` is handed in by whoever started the processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from descend.data.reading.sql import RESERVED, parquet_sql, path_list, quote_name

FILE_ROW = "file_row_number"
"""DuckDB's name for the number of a row in its Parquet file."""
_SOURCE_ROW = f"{RESERVED}source row"


@dataclass(frozen=True)
class Sharing:
    """Which process this is of several that share a table out.

    Attributes:
        index: of the process, from 0.
        count: of processes.
        gather: sends bytes to all processes and returns those of all, in the order of the
            processes. Every process calls it, and they call it equally often.
    """

    index: int
    count: int
    gather: Callable[[bytes], Sequence[bytes]]

    def tables(self, own: pa.Table) -> list[pa.Table]:
        """The tables of all processes, in their order."""
        return [_table_of(one) for one in self.gather(_bytes_of(own))]


@dataclass(frozen=True)
class Part:
    """The rows of a table that this process reads.

    Attributes:
        sharing: with the other processes.
        first: the number of the first row, from 0.
        stop: one past the last.
        relation: SQL of a relation that has these rows alone; None where they have to be picked
            from the whole source.
        cut: whether the source itself has these rows alone.
        note: a sentence for the user about how the rows are shared out, or an empty text.
    """

    sharing: Sharing
    first: int
    stop: int
    relation: str | None = None
    cut: bool = False
    note: str = ""

    @property
    def picked(self) -> bool:
        """Whether these rows have to be picked from those of the source."""
        return self.relation is None and not self.cut

    def of(self, relation: str) -> str:
        """SQL for these rows of a source.

        Args:
            relation: the whole source.
        """
        if self.relation is not None:
            return self.relation
        if self.cut:
            return relation
        number = quote_name(_SOURCE_ROW)
        numbered = f"(SELECT *, row_number() OVER () - 1 AS {number} FROM {relation})"
        return f"({_between(numbered, number, self.first, self.stop)})"


def share_out(rows: int, index: int, count: int) -> tuple[int, int]:
    """The first row of a process and one past its last; the shares differ by one row at most.

    >>> [share_out(10, index, 4) for index in range(4)]
    [(0, 2), (2, 5), (5, 7), (7, 10)]
    """
    return rows * index // count, rows * (index + 1) // count


def parquet_part(
    relation: str,
    files: Sequence[tuple[str, int]],
    first: int,
    stop: int,
    columns: str = "*",
) -> str:
    """SQL for a range of the rows of Parquet files; only the row groups in it are read.

    Args:
        relation: all rows of all files, which says what columns there are.
        files: the files in their order, each with its number of rows.
        first: row of the range.
        stop: one past the last row.
        columns: SQL of the columns of a file, see `formats.stored_columns`.
    """
    # Names and types are those of all files together, whichever of them the range lies in.
    pieces = [f"(SELECT * FROM {relation} LIMIT 0)"]
    whole: list[str] = []
    begins = 0
    for path, rows in files:
        low, high = max(first - begins, 0), min(stop - begins, rows)
        if (low, high) == (0, rows) and rows:
            whole.append(path)
        elif low < high:
            pieces += _whole_files(whole, columns)
            one = parquet_sql(path_list([path]), f"{FILE_ROW} = true")
            pieces.append(f"(SELECT {columns} FROM ({_between(one, FILE_ROW, low, high)}))")
            whole = []
        begins += rows
    return f"({' UNION ALL BY NAME '.join([*pieces, *_whole_files(whole, columns)])})"


def _whole_files(paths: Sequence[str], columns: str) -> list[str]:
    if not paths:
        return []
    return [f"(SELECT {columns} FROM {parquet_sql(path_list(paths), 'union_by_name = true')})"]


def _between(relation: str, number: str, first: int, stop: int) -> str:
    return (
        f"SELECT * EXCLUDE ({number}) FROM {relation} WHERE {number} >= {first} "
        f"AND {number} < {stop}"
    )


def _bytes_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _table_of(content: bytes) -> pa.Table:
    return pa.ipc.open_stream(content).read_all()
