"""How an encoder reads a table: an SQL expression for each column, and checks of the values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from descend.data.reading.errors import closest, no_column
from descend.data.reading.expressions import (
    category_sql,
    class_sql,
    float_sql,
    number_sql,
    written_sql,
)
from descend.data.reading.held_rows import NumberCells
from descend.data.reading.lettered_numbers import EXPECTED
from descend.data.reading.measured_text import split_written
from descend.data.reading.number_text import DURATION, PLAINLY, POINT, SECONDS
from descend.data.reading.table import ROW, Table
from descend.data.reading.table_column import TableColumn, groups_of
from descend.data.reading.text_types import types_as_known
from descend.data.reading.times import NUMBER_PATTERNS, TIME, cell_sql, time_sql, time_written_sql
from descend.data.reading.typed_columns import TextRules, TypedColumn
from descend.data.schema.columns import (
    CategoryColumn,
    ClassificationTarget,
    Column,
    DatetimeColumn,
    NumberColumn,
    RegressionTarget,
    Schema,
    Target,
)
from descend.errors import DataError, listed_names, option_text, quoted_cell

DATES: tuple[str, ...] = ("date", "text", "datetime")
_WORDS = {"number": "a number", "datetime": "a date or time"}
_ALWAYS_READ = {"datetime": " (dates such as 2024-12-31 and times such as 23:59 are always read)"}
_WANTED = {
    "number": "numbers",
    "category": "categories",
    "datetime": "dates or times",
    "class": "classes",
}
_AT_ONCE = 32
"""Columns of dates that one query looks at."""
_SMALL_BYTES = 16 << 20


@dataclass(frozen=True)
class Needed:
    """A column an encoder reads.

    Attributes:
        column: of the table.
        kind: `number`, `category`, `datetime` or `class`.
        place: index of the value in the batches.
        present: index of a flag for cells that are not empty, if some may be unreadable; else
            None.
        lenient: whether a value that cannot be read as the kind is missing instead of an error.
    """

    column: TableColumn
    kind: str
    place: int
    present: int | None
    lenient: bool = False


@dataclass(frozen=True)
class ReadPlan:
    """How to read a table for an encoder.

    Attributes:
        table: with its CSV columns read as the schema needs them.
        select: SQL expressions for `Table.batches`.
        inputs: for each input column of the schema.
        targets: for each target, if asked for.
        weight: of the rows, if asked for and present.
        kept: names of the unencoded columns, and the index of the first.
        units: the per cent sign or currency of each column of numbers whose first rows show it,
            empty for none.
        zoned: whether the times of each column whose first rows show it have an offset from UTC.
        cells: what expressions of numbers in text are where all cells are simple numbers.
    """

    table: Table
    select: tuple[str, ...]
    inputs: tuple[Needed, ...]
    targets: tuple[Needed, ...]
    weight: Needed | None
    kept: tuple[tuple[str, ...], int] = ((), 0)
    units: Mapping[str, str] = field(default_factory=dict)
    zoned: Mapping[str, bool] = field(default_factory=dict)
    cells: Mapping[str, NumberCells] = field(default_factory=dict)


def plan_reading(
    schema: Schema,
    inputs: Sequence[Column],
    table: Table,
    *,
    target: bool,
    keep: Sequence[str] | None = (),
) -> ReadPlan:
    """Find every needed column in a table.

    Args:
        schema: what was learned.
        inputs: the input columns.
        table: to read.
        target: whether targets and weight are needed too.
        keep: columns to return unencoded as well; None: all.

    Raises:
        DataError: one is missing, or of a type that cannot be read as in training.
    """
    asked: list[tuple[str, Column | Target | None]] = [(one.name, one) for one in inputs]
    if target:
        asked += [(name, schema.target) for name in schema.target.names]
        if schema.weight is not None:
            asked.append((schema.weight, None))
    names = [name for name, _ in asked]
    for name in names:
        _check_there(table, name, names)
    kept = tuple(one.name for one in table.columns) if keep is None else tuple(keep)
    for name in kept:
        if table.column(name) is None:
            raise no_column(
                name, [one.name for one in table.columns], option_text("keep"), table.name
            )
    as_written = (*names, *kept) if table.untyped else names
    table = table.reading(dict.fromkeys(as_written, "text"))
    typed = _read_as_learned(schema, table, dict(asked))
    columns = {name: one.column for name, one in typed.items()}
    units = {name: one.unit for name, one in typed.items() if one.column.type in ("number", "time")}
    zoned = {name: one.zoned for name, one in typed.items() if one.zoned is not None}
    odd = _odd_times(table, [(columns[name], learned) for name, learned in asked])
    needed: list[Needed] = []
    select: list[str] = []
    cells: dict[str, NumberCells] = {}
    for name, learned in asked:
        column = columns[name]
        kind = _kind(learned)
        place = len(select)
        select.append(_sql(table, column, learned, odd=name in odd))
        present = None
        # If training had cells that are no numbers, such cells are missing here too.
        lenient = getattr(learned, "strays", 0) > 0
        if isinstance(learned, DatetimeColumn):
            present = len(select)
            select.append(time_written_sql(column, learned.pattern))
        elif column.is_text and kind not in ("category", "class"):
            present = len(select)
            select.append(_present(column, lenient=lenient))
            lenient = lenient and not split_written(column.written)[1]
            if column.type == "number" and column.written in (POINT, PLAINLY):
                cells[select[place]] = NumberCells(column.sql, column.nulls, number=True)
                cells[select[present]] = NumberCells(column.sql, column.nulls, number=False)
        needed.append(Needed(column, kind, place, present, lenient))
    count = len(inputs)
    targets = needed[count : count + len(schema.target.names)] if target else []
    weight = needed[-1] if target and schema.weight is not None else None
    first = len(select)
    select += [_as_it_is(one) for one in map(table.column, kept) if one is not None]
    return ReadPlan(
        table=table,
        select=tuple(select),
        inputs=tuple(needed[:count]),
        targets=tuple(targets),
        weight=weight,
        kept=(kept, first),
        units=units,
        zoned=zoned,
        cells=cells,
    )


def _present(column: TableColumn, *, lenient: bool) -> str:
    """SQL: whether a cell of text has to be a number.

    In a column with a unit words may be missing, and numbers with another unit never are.
    """
    written = written_sql(column)
    if lenient and split_written(column.written)[1]:
        return f"({written} AND regexp_matches({column.sql}::VARCHAR, '[0-9]'))"
    return written


def _as_it_is(column: TableColumn) -> str:
    """SQL of an unencoded column; of types that files may lack, as text."""
    return f"{column.sql}::VARCHAR" if column.type == "other" else column.sql


def check_readable(plan: ReadPlan, needed: Needed, batch: pa.RecordBatch) -> None:
    """Raise DataError if a value cannot be read as its kind."""
    if needed.present is not None and not needed.lenient:
        flags = pc.and_(batch.column(needed.present), batch.column(needed.place).is_null())
        if pc.any(flags).as_py():
            place = pc.index(flags, value=True).as_py()
            _raise_value(plan.table, needed, batch.column(batch.num_columns - 1)[place].as_py())


def check_finite(
    plan: ReadPlan, needed: Needed, values: NDArray[np.float64], batch: pa.RecordBatch
) -> None:
    """Raise DataError if a number is infinite."""
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
        f"SELECT {cell_sql(needed.column)} AS value FROM {table.rows} WHERE {ROW} = {row}"
    ).to_pylist()[0]["value"]
    unit = split_written(needed.column.written)[1]
    expected = f"{_WORDS[needed.kind]} in {unit}" if unit else _WORDS[needed.kind]
    expected = EXPECTED.get(unit, expected)
    if needed.column.written == DURATION and needed.kind == "number":
        expected = "a duration, such as 1:30:00"
    raise DataError(
        f"{table.name}, column {needed.column.name!r}, data row {row + 1}: expected "
        f"{expected}, as in training, found {quoted_cell(found)}. Correct it"
        f"{_ALWAYS_READ.get(needed.kind, '')}, or leave it empty if it is missing."
    )


def _kind(learned: Column | Target | None) -> str:
    """`number`, `category`, `datetime` or `class`; a weight is a number."""
    if isinstance(learned, CategoryColumn | DatetimeColumn):
        return learned.kind
    return "class" if isinstance(learned, ClassificationTarget) else "number"


def _read_as_learned(
    schema: Schema, table: Table, learned: Mapping[str, Column | Target | None]
) -> dict[str, TypedColumn]:
    """The columns of the table, with text read as in training."""
    kinds = {}
    for name, one in learned.items():
        text = isinstance(one, CategoryColumn | ClassificationTarget) and one.type != "number"
        date = isinstance(one, DatetimeColumn) and one.pattern not in NUMBER_PATTERNS
        kinds[name] = "text" if text or date else "number"
    written = {name: one.written for name, one in learned.items() if isinstance(one, NumberColumn)}
    if isinstance(schema.target, RegressionTarget):
        written |= dict(zip(schema.target.names, schema.target.written, strict=False))
    labels = [name for name in schema.target.names if kinds.get(name) == "text"]
    rules = TextRules(labels=labels, missing=schema.missing)
    return types_as_known(table, kinds, rules, written)


def _check_there(table: Table, name: str, needed: Sequence[str]) -> None:
    """Raise DataError if the table lacks a column, with those that may be meant."""
    if table.column(name) is not None:
        return
    names = [one.name for one in table.columns]
    spare = [one for one in names if one not in needed]
    lacking = [one for one in needed if table.column(one) is None]
    others = ""
    if len(lacking) > 1:
        others = f" It also lacks {_listed([repr(one) for one in lacking if one != name])}."
    raise DataError(
        f"{table.name} has no column {name!r}, which the model needs.{closest(name, spare)}"
        f"{others} Its columns are: {listed_names(names)}. Name them as in training; where the "
        "values are not known, add a column of empty cells."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


def _odd_times(
    table: Table, columns: Sequence[tuple[TableColumn, Column | Target | None]]
) -> set[str]:
    """The columns of dates in text that may have cells in another form than in training.

    To read every form takes five times as long to plan as to read the usual one, a second for
    twenty columns; a table that is soon read is looked at before.
    """
    times = [
        (column, learned)
        for column, learned in columns
        if isinstance(learned, DatetimeColumn) and column.is_text
    ]
    if not times or not _is_small(table):
        return {column.name for column, _ in times}
    found = set()
    for group in groups_of(times, _AT_ONCE):
        tests = ", ".join(
            f"bool_or({time_written_sql(column, learned.pattern)} "
            f"AND ({time_sql(column, learned.pattern, odd=False)}) IS NULL)"
            for column, learned in group
        )
        (row,) = table.query(f"SELECT [{tests}] AS odd FROM {table.rows}").column(0).to_pylist()
        found |= {column.name for (column, _), odd in zip(group, row, strict=True) if odd}
    return found


def _is_small(table: Table) -> bool:
    """Whether a table is read in less time than it takes to plan the reading of some columns."""
    if table.source.query is not None:
        return False
    held = table.source.objects.get("source")
    if isinstance(held, pa.Table):
        return int(held.nbytes) <= _SMALL_BYTES
    files = table.source.reads or table.source.files
    try:
        return bool(files) and sum(map(os.path.getsize, files)) <= _SMALL_BYTES
    except OSError:
        return False


def _sql(table: Table, column: TableColumn, learned: Column | Target | None, *, odd: bool) -> str:
    """SQL of the values of a column as training read them; `odd` dates are of several forms.

    Raises:
        DataError: its type is one that cannot be read so.
    """
    kind = _kind(learned)
    if kind == "category" and column.type != "other":
        assert isinstance(learned, CategoryColumn)
        return category_sql(column, learned.type)
    if kind == "class" and column.type != "other":
        assert isinstance(learned, ClassificationTarget)
        return class_sql(column, learned.type)
    durations = isinstance(learned, NumberColumn) and learned.unit == SECONDS
    if kind == "number" and column.type in ("number", "boolean", *(("time",) if durations else ())):
        # Of the inputs NaN is missing; a row whose target is NaN is left out, so that one is NULL.
        return float_sql(column) if isinstance(learned, NumberColumn) else number_sql(column)
    if isinstance(learned, DatetimeColumn):
        times = ("time", "text", "datetime") if learned.pattern == TIME else DATES
        if learned.pattern in NUMBER_PATTERNS:
            times = ("number", "date", "datetime")
        if column.type in times or (learned.pattern == TIME and column.sql_type == "INTERVAL"):
            return time_sql(column, learned.pattern, american=learned.american, odd=odd)
    raise DataError(
        f"{table.name}, column {column.name!r}: expected {_WANTED[kind]}, as in training, found "
        f"{column.shown_type}."
    )
