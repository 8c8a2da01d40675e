"""The rows of a wide table in Arrow, of which a query gets the columns that it uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from descend.data.reading.connection import Instance
from descend.data.reading.expressions import numbers_in
from descend.data.reading.narrow import COLUMNS_AT_ONCE, columns_in
from descend.data.reading.number_text import SIMPLE
from descend.data.reading.numpy_arrays import as_numpy
from descend.data.reading.sql import quote_name

EXPRESSION_BYTES = 1 << 20
"""What DuckDB holds on all cores to compute one expression of text, beside what it counts."""


@dataclass(frozen=True)
class NumberCells:
    """What an SQL expression is of a column of text, wherever its cells are simple numbers.

    DuckDB takes milliseconds to plan how odd numbers are read, for each column and each batch.

    Attributes:
        column: SQL of the column.
        nulls: the texts for missing among its cells.
        number: whether the expression is the number; else it is whether a cell holds a value.
    """

    column: str
    nulls: tuple[str, ...]
    number: bool


@final
class HeldRows:
    """Rows in Arrow, with their numbers; in SQL they are the relation `source`.

    DuckDB would plan all of their columns for each query, and keeps room for each.

    Attributes:
        rows: with their numbers as a column.
    """

    def __init__(self, rows: pa.Table, row_name: str, instance: Instance, first: int = 0) -> None:
        """Number the rows, if they are not.

        Args:
            rows: the table.
            row_name: of the column with the numbers.
            instance: computes the values of SQL expressions.
            first: the number of the first row.
        """
        rows = _taken(rows)
        if row_name not in rows.column_names:
            rows = rows.append_column(row_name, whole_numbers(first, rows.num_rows))
        self.rows = rows
        self._row_name = row_name
        self._instance = instance
        self._places = _places(rows)

    @property
    def columns_at_once(self) -> int:
        """How many expressions DuckDB computes in one query, so that they fit in its memory."""
        memory = self._instance.memory
        return (
            COLUMNS_AT_ONCE
            if memory is None
            else min(COLUMNS_AT_ONCE, max(16, memory // EXPRESSION_BYTES))
        )

    def used_by(self, sql: str) -> pa.Table:
        """The columns that occur in SQL; the row numbers if there are none."""
        used = columns_in(sql, self._places) or [quote_name(self._row_name)]
        return self.rows.select([self._places[one] for one in used])

    def values(self, select: Sequence[str], where: pa.ChunkedArray | None = None) -> pa.Table:
        """The values of SQL expressions, as columns "0", "1", ...

        Args:
            select: the expressions.
            where: of each row, whether it is wanted; None: all are.
        """
        rows = self.used_by(" ".join(select))
        return self._values_in(rows if where is None else rows.filter(where), select)

    def batches(
        self,
        select: Sequence[str],
        rows: int,
        most_bytes: int,
        cells: Mapping[str, NumberCells],
    ) -> Iterator[pa.RecordBatch]:
        """The values of SQL expressions, some rows at a time.

        Args:
            select: the expressions.
            rows: most rows of a batch.
            most_bytes: most bytes of the rows of a batch, where a single row does not take more.
            cells: what some of the expressions are where all cells are simple numbers.
        """
        held = self.rows
        height = max(1, min(rows, most_bytes * held.num_rows // max(1, held.nbytes)))
        for first in range(0, held.num_rows, height):
            found = self._values_in(held.slice(first, height), select, cells)
            columns = [column.combine_chunks() for column in found.columns]
            yield pa.RecordBatch.from_arrays(columns, found.column_names)

    def _values_in(
        self,
        rows: pa.Table,
        select: Sequence[str],
        cells: Mapping[str, NumberCells] | None = None,
    ) -> pa.Table:
        """The values in some of the rows; columns as they stand are taken without DuckDB."""
        known = _places(rows)
        found = {place: rows.column(known[sql]) for place, sql in enumerate(select) if sql in known}
        numbers: dict[str, pa.ChunkedArray | None] = {}
        for place, sql in enumerate(select):
            of = None if cells is None else cells.get(sql)
            if of is None or of.column not in known:
                continue
            column = rows.column(known[of.column])
            if of.column not in numbers:
                numbers[of.column] = _simple_numbers(column, of.nulls)
            number = numbers[of.column]
            if number is not None:
                found[place] = number if of.number else column.is_valid()
        others = [place for place in range(len(select)) if place not in found]
        size = self.columns_at_once
        for start in range(0, len(others), size):
            group = others[start : start + size]
            listed = listed_sql([select[place] for place in group])
            used = columns_in(listed, known) or [*known][:1]
            cursor = self._instance.cursor()
            cursor.register("source", rows.select([known[one] for one in used]))
            read = self._instance.arrow(cursor, f"SELECT {listed} FROM source")
            found |= dict(zip(group, read.columns, strict=True))
        places = range(len(select))
        return pa.Table.from_arrays([found[place] for place in places], [*map(str, places)])


def taken_type(kind: pa.DataType) -> pa.DataType:
    """The type for the same values as `kind` from which Arrow takes rows.

    It takes none from views, as which Polars hands text on, and none from encoded runs.
    """
    if pa.types.is_run_end_encoded(kind):
        return taken_type(kind.value_type)
    if pa.types.is_string_view(kind):
        return pa.large_string()
    return pa.large_binary() if pa.types.is_binary_view(kind) else kind


def cast_values(
    values: pa.Array | pa.ChunkedArray, kind: pa.DataType
) -> pa.Array | pa.ChunkedArray:
    """The values as another type; Arrow itself casts no encoded runs."""
    if pa.types.is_run_end_encoded(values.type):
        values = pc.run_end_decode(values)
    return values if values.type == kind else values.cast(kind)


def _taken(rows: pa.Table) -> pa.Table:
    for place, field in enumerate(rows.schema):
        kind = taken_type(field.type)
        if kind != field.type:
            column = cast_values(rows.column(place), kind)
            rows = rows.set_column(place, field.with_type(kind), column)
    return rows


def _simple_numbers(cells: pa.ChunkedArray, nulls: Sequence[str]) -> pa.ChunkedArray | None:
    """Text as float64, where every cell is a simple number or missing; else None."""
    if not pa.types.is_string(cells.type):
        return None
    simple = pc.match_substring_regex(cells, f"^(?:{SIMPLE})$")
    missing = pc.is_in(cells, pa.array([*nulls, ""], pa.string()), skip_nulls=True)
    for chunk, other in zip(simple.chunks, missing.chunks, strict=True):
        if chunk.false_count or np.any(as_numpy(other)):
            return None
    try:
        numbers = cells.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    # Of -999 as a mark, -999.0 is another spelling.
    marks = pa.array([*numbers_in(nulls)], pa.float64())
    return None if len(marks) and pc.any(pc.is_in(numbers, marks)).as_py() else numbers


def listed_sql(select: Sequence[str]) -> str:
    """SQL expressions as columns "0", "1", ...; a constant if there are none."""
    return ", ".join(f'{sql} AS "{place}"' for place, sql in enumerate(select)) or "true"


def whole_numbers(start: int, count: int) -> pa.Array:
    """The int64 numbers from `start` on."""
    # pa.array would import pandas, where that is installed.
    buffer = pa.py_buffer(np.arange(start, start + count, dtype=np.int64))
    return pa.Array.from_buffers(pa.int64(), count, [None, buffer])


def _places(rows: pa.Table) -> dict[str, int]:
    """The index of each column by its SQL."""
    return {quote_name(name): place for place, name in enumerate(rows.column_names)}
