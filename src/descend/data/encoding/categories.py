"""The text that identifies a category value, for values that are Python objects.

SQL has the same rule in `expressions.category_sql`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import numpy as np

from descend.data.reading.expressions import FALSE, TRUE
from descend.data.schema.columns import CategoryColumn

_POINT_ZERO = re.compile(r"([-+]?\d+)\.0+$")
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})(?:(\.\d*?)0*)?(?:\+00)?")


def category_codes(column: CategoryColumn) -> dict[str, int]:
    """The code of each value."""
    first = 1 + (column.missing > 0)
    return {value: first + place for place, value in enumerate(column.values)}


def known_values(column: CategoryColumn) -> dict[str, int]:
    """The code of each value, also under the text that this version gives it.

    Models of version 0.1 may have learned 1.0 or 2024-12-31T00:00:00 from a CSV file, or accents
    that stand apart from their letters.
    """
    codes = category_codes(column)
    found = {unicodedata.normalize("NFC", _plain(value)): code for value, code in codes.items()}
    if column.type == "number":
        for value, code in codes.items():
            for text in _of_other_width(value):
                found.setdefault(text, code)
    return {**found, **codes}


def category_text(column: CategoryColumn, value: object) -> str:
    """The text by which training identified a value."""
    text = as_text(value).strip()
    if column.type == "boolean":
        lower = text.lower()
        return "true" if lower in TRUE else "false" if lower in FALSE else text
    if column.type == "number":
        return {"true": "1", "false": "0"}.get(text.lower(), text)
    return unicodedata.normalize("NFC", text)


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
        if column.type == "number":
            others += _of_other_width(value)
        others += unicode_forms(value)
        for other in others:
            found.setdefault(other, code)
    return found


def unicode_forms(text: str) -> list[str]:
    """The same letters with accents as one character with them, and as characters of their own.

    >>> [len(form) for form in unicode_forms("Zürich")], unicode_forms("Rome")
    ([6, 7], [])
    """
    return [] if text.isascii() else [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]


def _of_other_width(text: str) -> Iterator[str]:
    """The text of a number after it has been stored in float32, or read back from there."""
    try:
        number = float(text)
    except ValueError:
        return
    for other in other_widths(number):
        yield as_text(other)


def other_widths(number: float) -> Iterator[float]:
    """The numbers that narrower floats make of a decimal one, or the one that they were made from.

    0.1 in float32 is 0.10000000149011612, and a table in float32 says 0.1 where the same table in
    float64 says the other; in float16 it is 0.0999755859375. There are none where the narrower
    floats hold the number exactly, or it has more digits than they do.

    Example:
        >>> list(other_widths(0.1)), list(other_widths(0.10000000149011612))
        ([0.0999755859375, 0.099975586, 0.10000000149011612], [0.1])
        >>> list(other_widths(0.5))
        []
    """
    for width in (np.float16, np.float32):
        if not abs(number) <= float(np.finfo(width).max):
            continue
        if width is np.float16 and float(number).is_integer():
            continue  # Beyond 2048 several whole numbers are one.
        narrow = width(number)
        stored, decimal = [float(narrow)], float(str(narrow))
        if width is np.float16:  # Which files in float16 become where they are read as float32.
            stored.append(float(str(np.float32(narrow))))
        if decimal in stored:
            continue
        if number == decimal:
            yield from stored
        elif number in stored:
            yield decimal


def as_text(value: object) -> str:
    """A Python value as DuckDB writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e18:
        return str(int(value))
    return _plain(str(value))


def _plain(text: str) -> str:
    """1.0 becomes 1, and 2024-12-31T00:00:00 2024-12-31; other text is unchanged."""
    moment = _MOMENT.fullmatch(text)
    if moment is None:
        return _POINT_ZERO.sub(r"\1", text)
    day, clock, fraction = moment.groups(default="")
    fraction = fraction if len(fraction) > 1 else ""
    return day if clock == "00:00:00" and not fraction else f"{day} {clock}{fraction}"
