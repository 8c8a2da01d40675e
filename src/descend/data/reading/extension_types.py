"""Columns whose values Arrow stores as something else: pandas' periods and intervals, booleans.

An extension type has a name and a type of storage. DuckDB reads the storage of those that it does
not know: of a period of pandas that is the number of months, quarters, ... since 1970.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pyarrow as pa

from descend.data.reading.sql import quote_name
from descend.errors import DataError

_NAME, _DESCRIPTION = b"ARROW:extension:name", b"ARROW:extension:metadata"
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}
_OLDER = {"A": "Y", "H": "h", "T": "min", "S": "s", "L": "ms", "U": "us", "N": "ns"}
"""Names of frequencies before version 2.2 of pandas."""


def storage_type(kind: pa.DataType) -> pa.DataType:
    """The type as which values of `kind` are stored, if pandas registered it; else `kind`."""
    pandas_own = isinstance(kind, pa.BaseExtensionType) and _name_of(kind).startswith("pandas.")
    return kind.storage_type if pandas_own else kind


def shown_type(field: pa.Field) -> str:
    """The type of a column in messages.

    >>> shown_type(pa.field("size", pa.int64()))
    'int64'
    """
    name, described = _extension(field)
    if name == "pandas.period":
        return f"period[{described['freq']}]"
    return name or str(field.type)


def value_sql(field: pa.Field) -> str | None:
    """SQL of the values of a column, from what is stored; None where they are what is stored.

    A period is the time at which it begins, as in `Series.dt.to_timestamp`; an interval is text,
    as `str` writes it.

    Raises:
        DataError: a period has a frequency that is not known.
    """
    name, described = _extension(field)
    column = quote_name(field.name)
    if name == "pandas.period":
        return _period_sql(field.name, column, described["freq"])
    if name == "pandas.interval":
        closed = described["closed"]
        left = "[" if closed in ("left", "both") else "("
        right = "]" if closed in ("right", "both") else ")"
        text = f"'{left}' || {column}.\"left\" || ', ' || {column}.\"right\" || '{right}'"
        return f"CASE WHEN {column} IS NOT NULL THEN {text} END"
    return f"{column} != 0" if name == "arrow.bool8" else None


def _name_of(kind: Any) -> str:
    return str(getattr(kind, "extension_name", ""))


def _extension(field: pa.Field) -> tuple[str, dict[str, Any]]:
    """The name of the extension type of a column and its parameters; no name if it has none."""
    if isinstance(field.type, pa.BaseExtensionType):
        name = _name_of(field.type)
        described = field.type.__arrow_ext_serialize__() if name.startswith("pandas.") else b""
    else:  # In a file, and nobody has registered the type.
        metadata = field.metadata or {}
        name, described = metadata.get(_NAME, b"").decode(), metadata.get(_DESCRIPTION, b"")
    return name, json.loads(described) if name.startswith("pandas.") else {}


def _period_sql(name: str, column: str, freq: str) -> str:
    """SQL of the TIMESTAMP at which periods begin.

    Args:
        name: of the column.
        column: SQL of the number of periods since the one of 1970-01-01.
        freq: as pandas writes it, such as `M`, `Q-DEC`, `2W-SUN`; the number counts single ones.
    """
    unit, _, ends = re.sub(r"^\d+", "", freq).partition("-")
    unit = _OLDER.get(unit, unit)
    if unit in ("Q", "Y"):
        # A year is named by the one in which it ends.
        shift = _MONTHS.index(ends or "DEC") - 11
        return _after_1970(f"to_months(({column} * {3 if unit == 'Q' else 12} + {shift})::INTEGER)")
    if unit == "M":
        return _after_1970(f"to_months({column}::INTEGER)")
    days = {
        "W": f"{column} * 7 + {_DAYS.index(ends or 'SUN') - 10}",
        "D": column,
        # Five of seven days, from Thursday on.
        "B": f"floor(({column} + 3) / 5) * 7 + (({column} + 3) % 5 + 5) % 5 - 3",
    }.get(unit)
    if days is not None:
        return _after_1970(f"to_days(({days})::INTEGER)")
    seconds = {"h": 3600, "min": 60}.get(unit)
    if seconds is not None:
        return f"make_timestamp({column} * {seconds * 1_000_000})"
    if unit not in _PER_SECOND:
        raise DataError(
            f"Column {name!r} holds periods of pandas with the frequency {freq!r}, which is not "
            f"known. Write them as times: frame[{name!r}] = frame[{name!r}].dt.to_timestamp()"
        )
    if unit == "ns":
        return f"make_timestamp_ns({column})"
    return f"make_timestamp({column} * {1_000_000 // _PER_SECOND[unit]})"


def _after_1970(span: str) -> str:
    return f"(TIMESTAMP '1970-01-01' + {span})"
