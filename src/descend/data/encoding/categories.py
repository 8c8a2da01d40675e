"""The text under which the values of a category are compared."""

from __future__ import annotations

import re

from descend.data.schema.columns import CategoryColumn

_POINT_ZERO = re.compile(r"([-+]?\d+)\.0+$")


def category_codes(column: CategoryColumn) -> dict[str, int]:
    """The code of each value."""
    first = 1 + (column.missing > 0)
    return {value: first + place for place, value in enumerate(column.values)}


def canonical(column: CategoryColumn, text: str) -> str:
    """The text under which a value was counted."""
    if column.type == "number":
        return _POINT_ZERO.sub(r"\1", text)
    return text.lower() if column.type == "boolean" else text


def as_text(value: object) -> str:
    """A Python value as DuckDB writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return _POINT_ZERO.sub(r"\1", str(value))
