"""A line for each column, for `descend inspect`."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from descend.data.reading.times import TIME
from descend.data.schema.columns import (
    CategoryColumn,
    Column,
    DatetimeColumn,
    LeftOutColumn,
    NumberColumn,
    Schema,
)
from descend.data.schema.number_survey import MOST_COUNTED
from descend.io.units import count_text


@dataclass(frozen=True)
class ColumnDescription:
    """A line of `descend inspect`.

    Attributes:
        name: of the column.
        type: what the table held.
        becomes: `number`, `category`, `datetime` or `left out`.
        missing: missing values in the training rows.
        distinct: distinct values in the training rows; None where not counted.
        estimated: whether `distinct` is an estimate.
        values: the range of numbers and times, the commonest values of categories.
        remark: why it is left out, or a note about it.
    """

    name: str
    type: str
    becomes: str
    missing: int
    distinct: int | None
    values: str
    remark: str
    estimated: bool = False


def describe(
    columns: Schema | Sequence[Column], rows: int | None = None
) -> list[ColumnDescription]:
    """A line for each column, in the order of the table.

    Args:
        columns: of the table.
        rows: number of rows examined; None takes the training rows of the schema.
    """
    listed = columns.columns if isinstance(columns, Schema) else columns
    looked = columns.rows.training if isinstance(columns, Schema) else rows or 0
    return [
        ColumnDescription(
            name=column.name,
            type=column.type,
            becomes=column.kind,
            missing=column.missing,
            distinct=column.distinct,
            values=_values(column),
            remark=_remark(column),
            estimated=not isinstance(column, CategoryColumn)
            and (column.distinct or 0) > 1
            and looked - column.missing > MOST_COUNTED,
        )
        for column in listed
    ]


def _values(column: Column) -> str:
    match column:
        case NumberColumn():
            return f"{_number(column.minimum)} to {_number(column.maximum)}"
        case DatetimeColumn():
            return f"{moment_text(column, column.minimum)} to {moment_text(column, column.maximum)}"
        case CategoryColumn():
            shown = ", ".join(_short(value) for value in column.values[:3])
            return shown + (", …" if len(column.values) > 3 else "")
        case LeftOutColumn():
            return ""


def _remark(column: Column) -> str:
    match column:
        case LeftOutColumn():
            return column.reason
        case NumberColumn():
            notes = [column.note] if column.note else []
            notes += ["indicator for missing values"] if column.missing else []
            return "; ".join(notes)
        case CategoryColumn():
            folded = (column.distinct or 0) - len(column.values)
            notes = []
            if folded > 0:
                own = "its" if folded == 1 else "their"
                notes = [f"{count_text(folded, 'value')} too rare for a code of {own} own"]
            return "; ".join([*notes, *([column.note] if column.note else [])])
        case DatetimeColumn():
            parts = ", ".join(dict.fromkeys(part.name.split(" ")[0] for part in column.parts))
            return f"becomes {parts}" + (f"; {column.note}" if column.note else "")


def moment_text(column: DatetimeColumn, microseconds: int) -> str:
    """A date or time, in microseconds since 1970, as a column of such has it."""
    try:
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=microseconds)
    except OverflowError:
        return f"{microseconds} µs"
    if column.pattern == TIME:
        return moment.time().isoformat("seconds")
    whole_days = column.minimum % 86_400_000_000 == 0 and column.maximum % 86_400_000_000 == 0
    return moment.date().isoformat() if whole_days else moment.isoformat(" ", "seconds")


def _number(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e12 else f"{value:g}"


def _short(value: str) -> str:
    text = " ".join(value.split())
    return text if len(text) <= 24 else text[:23] + "…"
