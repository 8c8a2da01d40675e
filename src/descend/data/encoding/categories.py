"""The text that identifies a category value, for values that are Python objects.

SQL has the same rule in `expressions.category_sql`.
"""

from __future__ import annotations

import re

from descend.data.reading.expressions import FALSE, TRUE
from descend.data.schema.columns import CategoryColumn

_POINT_ZERO = re.compile(r"([-+]?\d+)\.0+$")


def category_codes(column: CategoryColumn) -> dict[str, int]:
    """The code of each value."""
    first = 1 + (column.missing > 0)
    return {value: first + place for place, value in enumerate(column.values)}


def known_values(column: CategoryColumn) -> dict[str, int]:
    """The code of each value, also under the text that this version gives it.

    Models of version 0.1 may have learned 1.0 from a CSV file.
    """
    codes = category_codes(column)
    return {**{_POINT_ZERO.sub(r"\1", value): code for value, code in codes.items()}, **codes}


def category_text(column: CategoryColumn, value: object) -> str:
    """The text by which training identified a value."""
    text = as_text(value).strip()
    if column.type == "boolean":
        lower = text.lower()
        return "true" if lower in TRUE else "false" if lower in FALSE else text
    if column.type == "number":
        return {"true": "1", "false": "0"}.get(text.lower(), text)
    return text


def spellings(column: CategoryColumn) -> dict[str, int]:
    """The code of each text by which a value may be given to an exported model."""
    found: dict[str, int] = {}
    for value, code in category_codes(column).items():
        found.setdefault(value, code)
    for value, code in category_codes(column).items():
        others = [f"{value}.0"] if re.fullmatch(r"-?(0|[1-9]\d*)", value) else []
        if column.type == "boolean":
            words = TRUE if value == "true" else FALSE if value == "false" else ()
            others = [*words, *(f"{word}.0" for word in words if word.isdigit())]
            others += [spelled for word in words for spelled in (word.capitalize(), word.upper())]
        for other in others:
            found.setdefault(other, code)
    return found


def as_text(value: object) -> str:
    """A Python value as DuckDB writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e18:
        return str(int(value))
    return _POINT_ZERO.sub(r"\1", str(value))
