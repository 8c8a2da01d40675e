"""What an encoder reads from a table: an SQL expression for each column, and what to check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from descend.data.reading.errors import closest
from descend.data.reading.expressions import TIME, category_sql, number_sql, present_sql, time_sql
from descend.data.reading.table import ROW, Table
from descend.data.reading.table_column import TableColumn
from descend.data.schema.columns import (
    ClassificationTarget,
    Column,
    DatetimeColumn,
    NumberColumn,
    Schema,
)
from descend.errors import DataError

_WORDS = {"number": "a number", "datetime": "a date or time"}


@dataclass(frozen=True)
class Needed:
    """A column an encoder reads.

    Attributes:
        column: as the table has it.
        kind: `number`, `category` or `datetime`.
        place: of the value in the batches.
        present: place of a flag for values that are there, where not all can be read as the
            kind; else None.
    """

    column: TableColumn
    kind: str
    place: int
    present: int | None


@dataclass(frozen=True)
class ReadPlan:
    """How to read a table for an encoder.

    Attributes:
        table: with CSV columns read as the schema needs them.
        select: SQL expressions for `Table.batches`.
        inputs: for each column of the schema that is used.
        targets: for each target, where asked for.
        weight: of the rows, where asked for and there.
    """

    table: Table
    select: tuple[str, ...]
    inputs: tuple[Needed, ...]
    targets: tuple[Needed, ...]
    weight: Needed | None


def plan_reading(
    schema: Schema, inputs: Sequence[Column], table: Table, *, target: bool
) -> ReadPlan:
    """Find every needed column in a table.

    Raises:
        DataError: one is absent, or of a type that cannot be read as what was learned.
    """
    kinds = [(column.name, _kind(column), column) for column in inputs]
    target_kind = "category" if isinstance(schema.target, ClassificationTarget) else "number"
    extra = [(name, target_kind, None) for name in schema.target.names] if target else []
    if target and schema.weight is not None:
        extra.append((schema.weight, "number", None))
    asked = [*kinds, *extra]
    types = {name: "number" if kind == "number" else "text" for name, kind, _ in asked}
    table = table.reading(types)
    needed: list[Needed] = []
    select: list[str] = []
    for name, kind, learned in asked:
        column = _find(table, name, [one for one, _, _ in asked])
        pattern = learned.pattern if isinstance(learned, DatetimeColumn) else None
        sql = _sql(table, column, kind, pattern)
        place = len(select)
        select.append(sql)
        present = None
        if column.type == "text" and kind != "category":
            present = len(select)
            select.append(present_sql(column))
        needed.append(Needed(column, kind, place, present))
    count = len(kinds)
    targets = needed[count : count + len(schema.target.names)] if target else []
    weight = needed[-1] if target and schema.weight is not None else None
    return ReadPlan(table, tuple(select), tuple(needed[:count]), tuple(targets), weight)


def check_readable(plan: ReadPlan, needed: Needed, batch: pa.RecordBatch) -> None:
    """Raise DataError where a value cannot be read as its kind."""
    if needed.present is not None:
        flags = pc.and_(batch.column(needed.present), batch.column(needed.place).is_null())
        if pc.any(flags).as_py():
            place = pc.index(flags, value=True).as_py()
            _raise_value(plan.table, needed, batch.column(batch.num_columns - 1)[place].as_py())


def check_finite(
    plan: ReadPlan, needed: Needed, values: NDArray[np.float64], batch: pa.RecordBatch
) -> None:
    """Raise DataError where a number is infinite."""
    infinite = np.isinf(values)
    if infinite.any():
        place = int(infinite.argmax())
        row = batch.column(batch.num_columns - 1)[place].as_py()
        raise DataError(
            f"{plan.table.name}, column {needed.column.name!r}, data row {row + 1}: expected a "
            f"finite number, found {values[place]}. Correct it, or leave it empty if it is missing."
        )


def _raise_value(table: Table, needed: Needed, row: int) -> NoReturn:
    found = table.query(
        f"SELECT {needed.column.sql}::VARCHAR AS value FROM {table.rows} WHERE {ROW} = {row}"
    ).to_pylist()[0]["value"]
    raise DataError(
        f"{table.name}, column {needed.column.name!r}, data row {row + 1}: expected "
        f"{_WORDS[needed.kind]}, as in training, found {found!r}. Correct it, or leave it empty "
        "if it is missing."
    )


def _kind(column: Column) -> str:
    return "number" if isinstance(column, NumberColumn) else column.kind


def _find(table: Table, name: str, needed: Sequence[str]) -> TableColumn:
    column = table.column(name)
    if column is not None:
        return column
    names = [one.name for one in table.columns]
    spare = [one for one in names if one not in needed]
    listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    raise DataError(
        f"{table.name} has no column {name!r}, which the model needs.{closest(name, spare)} "
        f"Its columns are: {listed}."
    )


def _sql(table: Table, column: TableColumn, kind: str, pattern: str | None) -> str:
    if kind == "category" and column.type != "other":
        return category_sql(column)
    if kind == "number" and column.type in ("number", "text", "boolean"):
        return number_sql(column)
    times = ("time", "text", "datetime") if pattern == TIME else ("date", "text", "datetime")
    if kind == "datetime" and column.type in times:
        return time_sql(column, pattern)
    wanted = {"number": "numbers", "category": "categories", "datetime": "dates or times"}[kind]
    raise DataError(
        f"{table.name}, column {column.name!r}: expected {wanted}, as in training, found "
        f"{column.type} ({column.sql_type})."
    )
