"""The text under which the values of a category are compared."""

from __future__ import annotations

import re
from collections.abc import Mapping

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


def code_of(column: CategoryColumn, known: Mapping[str, int], text: str) -> int:
    """The code of a value; 0 where it is not known.

    Codes that training saw as text, such as 0 and 1 in a CSV file, may come back as 0.0 and 1.0:
    a whole number is the same category in both.
    """
    found = known.get(canonical(column, text))
    if found is None and column.type == "text":
        found = known.get(_POINT_ZERO.sub(r"\1", text))
    return found or 0


def as_text(value: object) -> str:
    """A Python value as DuckDB writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return _POINT_ZERO.sub(r"\1", str(value))
