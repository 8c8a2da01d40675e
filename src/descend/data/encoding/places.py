"""Where the columns of a table are in an encoded row."""

from __future__ import annotations

from typing import NamedTuple

from descend.data.schema.columns import (
    CategoryColumn,
    Column,
    DatetimeColumn,
    LeftOutColumn,
    Schema,
)


class Places(NamedTuple):
    """Which arrays of an encoded row a column became.

    Attributes:
        column: of the schema.
        numeric: indices into `numeric`.
        category: index into `category`, or None.
    """

    column: Column
    numeric: tuple[int, ...]
    category: int | None


def places_of(schema: Schema) -> list[Places]:
    """The columns that a model uses and where they are in an encoded row, as `Encoder` has them."""
    found: list[Places] = []
    number = code = 0
    for column in schema.columns:
        if isinstance(column, LeftOutColumn):
            continue
        if isinstance(column, CategoryColumn):
            found.append(Places(column, (), code))
            code += 1
            continue
        width = len(column.parts) if isinstance(column, DatetimeColumn) else 1
        width += column.missing > 0
        found.append(Places(column, tuple(range(number, number + width)), None))
        number += width
    return found
