"""Columns of pandas and Polars frames one by one: some kinds of values Arrow does not hold.

A frame may have a column of complex numbers or of Python objects that no model needs. Such a
column is kept as one without values, with the name of its type, so that it is left out, or refused
by name where it is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

UNREADABLE = b"descend: type that cannot be read"
"""Key, in the metadata of a field, of the name of the type of such a column."""


def from_pandas(data: Any) -> pa.Table:
    """A pandas frame in Arrow; columns that Arrow does not hold have no values."""
    columns = {name: _from_series(data[name]) for name in data.columns}
    return pa.table([array for array, _ in columns.values()], schema=_schema_of(columns))


def from_polars(data: Any) -> pa.Table:
    """A Polars frame in Arrow; whole numbers of 128 bits are text, and other odd columns empty."""
    import polars

    columns = {}
    for series in data.get_columns():
        try:
            columns[series.name] = _with_type(pa.table(series.to_frame()).column(0))
        except (pa.ArrowException, TypeError, ValueError):
            if series.dtype.is_integer():
                texts = pa.table(series.cast(polars.String).to_frame()).column(0)
                columns[series.name] = _with_type(texts)
            else:
                columns[series.name] = _unreadable(str(series.dtype), len(series))
    return pa.table([array for array, _ in columns.values()], schema=_schema_of(columns))


def unreadable_types(schema: pa.Schema) -> dict[str, str]:
    """The type of each column that Arrow does not hold, by name."""
    return {
        field.name: field.metadata[UNREADABLE].decode()
        for field in schema
        if field.metadata and UNREADABLE in field.metadata
    }


def whole_number_texts(values: Any, missing: Any) -> list[str | None] | None:
    """The digits of whole numbers that 64 bits do not hold; None if others are among them."""
    pairs = list(zip(values, missing, strict=True))
    if not all(none or isinstance(one, int | np.integer) for one, none in pairs):
        return None
    return [None if none else str(int(one)) for one, none in pairs]


_Column = tuple[pa.Array | pa.ChunkedArray, pa.Field]


def _from_series(series: Any) -> _Column:
    try:
        return _with_type(pa.Table.from_pandas(series.to_frame("it"), preserve_index=False)[0])
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        kind = str(series.dtype)
        if kind == "object":
            missing = series.isna().to_numpy()
            texts = whole_number_texts(series, missing)
            if texts is not None:
                return _with_type(pa.array(texts, pa.string()))
            kinds = {type(one).__name__ for one in series[~missing]}
            kind = " and ".join(sorted(kinds)[:3])
        return _unreadable(kind, len(series))


def _with_type(values: pa.Array | pa.ChunkedArray) -> _Column:
    return values, pa.field("it", values.type)


def _unreadable(kind: str, rows: int) -> _Column:
    field = pa.field("it", pa.binary(), metadata={UNREADABLE: kind.encode()})
    return pa.nulls(rows, pa.binary()), field


def _schema_of(columns: dict[Any, _Column]) -> pa.Schema:
    return pa.schema([field.with_name(str(name)) for name, (_, field) in columns.items()])
