"""Tables that are already in memory: pandas, Polars, PyArrow and arrays, as a PyArrow Table."""

from __future__ import annotations

import hashlib
import math
import numbers
from typing import Any

import numpy as np
import pyarrow as pa

from descend.data.reading.errors import check_names
from descend.data.reading.extension_types import storage_type, value_sql
from descend.data.reading.frame_columns import from_pandas, from_polars, whole_number_texts
from descend.data.reading.numpy_arrays import in_64_bits
from descend.data.reading.text_bytes import is_bytes, text_of
from descend.errors import DataError


def arrow_table(data: Any) -> pa.Table:
    """A PyArrow Table with the same content; copied only if its library requires it.

    Args:
        data: a pandas or Polars frame, a PyArrow Table, RecordBatch or RecordBatchReader (which
            is consumed), anything with the Arrow stream interface, or a pair (X, y).

    Raises:
        DataError: it is none of these, or a column holds values of mixed types.
    """
    if isinstance(data, tuple) and len(data) == 2:
        return _readable(_from_arrays(*data))
    if isinstance(data, np.ndarray):
        return _readable(_from_matrix(data))
    table = _readable(_from_frame(data))
    check_names("the table given", table.column_names)
    return table


def content_hash(table: pa.Table) -> str:
    """A hash of the names, types and values of a table."""
    digest = hashlib.blake2b(digest_size=16)

    class Sink:
        closed = False

        def write(self, block: Any) -> int:
            digest.update(block)
            return len(block)

        def flush(self) -> None: ...

        def close(self) -> None: ...

    plain = table.replace_schema_metadata(None).combine_chunks()
    with pa.PythonFile(Sink(), mode="w") as sink, pa.ipc.new_stream(sink, plain.schema) as writer:
        writer.write_table(plain, max_chunksize=65536)
    return digest.hexdigest()


def _readable(table: pa.Table) -> pa.Table:
    """The table with types that DuckDB reads: float16 as float32, decimals of 256 bits as text.

    Values that Arrow stores as something else are what they stand for, see `extension_types`.
    """
    computed: dict[int, str] = {}
    for place, field in enumerate(table.schema):
        other = readable_type(field.type)
        if other != field.type:
            changed = table.column(place).cast(other)
            table = table.set_column(place, field.with_type(other), changed)
        if is_bytes(field.type):
            texts = text_of(table.column(place))
            if texts is not None:
                table = table.set_column(place, field.with_type(texts.type), texts)
        sql = value_sql(field)
        if sql is not None:
            computed[place] = sql
    values = _computed(table.select(list(computed)), list(computed.values())) if computed else []
    for place, found in zip(computed, values, strict=True):
        table = table.set_column(place, pa.field(table.field(place).name, found.type), found)
    return table


def _computed(table: pa.Table, expressions: list[str]) -> list[pa.ChunkedArray]:
    """The values of SQL expressions, in the order of the rows."""
    import duckdb

    listed = ", ".join(f'{one} AS "{place}"' for place, one in enumerate(expressions))
    with duckdb.connect() as connection:
        found: pa.Table = connection.from_arrow(table).project(listed).to_arrow_table()
    return list(found.columns)


def readable_type(kind: pa.DataType) -> pa.DataType:
    """The type as which DuckDB reads the values of another, which it does not know."""
    kind = storage_type(kind)
    if pa.types.is_float16(kind):
        return pa.float32()
    return pa.string() if pa.types.is_decimal256(kind) else kind


def _plain_pandas(data: Any) -> Any:
    """A pandas frame of plain columns, of 64 bits at most.

    Sparse columns are dense; intervals and mixtures are text.
    """
    import pandas as pd

    changed = {}
    for name, kind in data.dtypes.items():
        if isinstance(kind, pd.SparseDtype):
            changed[name] = data[name].sparse.to_dense()
        elif isinstance(kind, pd.IntervalDtype) or isinstance(
            getattr(getattr(kind, "categories", None), "dtype", None), pd.IntervalDtype
        ):
            changed[name] = data[name].astype(object).map(str, na_action="ignore")
        elif kind.kind == "O" and pd.api.types.infer_dtype(data[name]).startswith("mixed"):
            texts = _texts(data[name].to_numpy(), data[name].isna().to_numpy())
            if texts is not None:
                changed[name] = pd.Series(texts, index=data.index, dtype=object)
        elif kind == np.longdouble and kind != np.float64:
            changed[name] = in_64_bits(data[name].to_numpy(), f"Column {name!r}")
    return data.assign(**changed) if changed else data


def _is_missing(value: Any) -> bool:
    """Whether an object is None, NaN, or pandas' NA or NaT."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _texts(values: np.ndarray, missing: np.ndarray) -> list[str | None] | None:
    """The text of numbers, texts, true and false side by side, as JSON and CSV have them.

    Returns:
        None if other objects are among them, or numbers alone.
    """
    found = [value for value, none in zip(values, missing, strict=True) if not none]
    if not all(isinstance(one, str | numbers.Number | np.bool_) for one in found):
        return None
    if not any(isinstance(one, str) for one in found):
        return None
    return [None if none else str(value) for value, none in zip(values, missing, strict=True)]


def _from_frame(data: Any) -> pa.Table:
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, pa.RecordBatchReader):
        return data.read_all()
    library = type(data).__module__.split(".")[0]
    try:
        if library == "pandas":
            if data.columns.nlevels == 1 and hasattr(data.columns, "levels"):
                data = data.set_axis([name for (name,) in data.columns], axis=1)
            if data.columns.nlevels > 1:
                raise DataError(
                    f"The columns of the table given have names in {data.columns.nlevels} levels, "
                    f"such as {data.columns[0]!r}; expected one name each. Join them:  "
                    "frame.columns = ['_'.join(map(str, name)) for name in frame.columns]"
                )
            if any(not isinstance(name, str) for name in data.columns):
                data = data.rename(columns=str)
            names = list(data.columns)
            check_names("the table given", names)
            data = _plain_pandas(data)
            try:
                return pa.Table.from_pandas(data, preserve_index=False)
            except (pa.ArrowException, TypeError, ValueError, OverflowError):
                return from_pandas(data)
        if library == "polars":
            data = data.collect() if hasattr(data, "collect") else data
            try:
                return pa.table(data)
            except (pa.ArrowException, TypeError, ValueError):
                return from_polars(data)
        if hasattr(data, "__arrow_c_stream__"):
            return pa.table(data)
    except (pa.ArrowException, TypeError) as error:
        said = " ".join(str(part) for part in error.args)
        raise DataError(
            f"The table given cannot be read: {said}. Expected values of one type in each column."
        ) from None
    raise DataError(
        "Expected a path, an SQL query, a pandas, Polars or PyArrow table, or arrays (X, y); "
        f"found {type(data).__module__}.{type(data).__name__}."
    )


def _from_arrays(X: Any, y: Any) -> pa.Table:
    table = _from_matrix(X) if not hasattr(X, "columns") else arrow_table(X)
    # A pandas or Polars series keeps its name; an array becomes "y".
    target = _plain_array(y)
    if len(target) != table.num_rows:
        raise DataError(
            f"X has {table.num_rows} rows and y has {len(target)}; expected as many in each."
        )
    if target.ndim == 1:
        columns = {"y": target}
    elif target.ndim == 2:
        columns = {
            "y" if target.shape[1] == 1 else f"y{place}": target[:, place]
            for place in range(target.shape[1])
        }
    else:
        raise DataError(f"Expected y with 1 or 2 dimensions, found {target.ndim}.")
    for name, values in columns.items():
        if name in table.column_names:
            raise DataError(f"X has a column {name!r}, the name that y gets. Rename it.")
        table = table.append_column(name, _array(name, values))
    return table


def _from_matrix(X: Any) -> pa.Table:
    matrix = _plain_array(X)
    if matrix.ndim != 2:
        raise DataError(
            f"Expected X as rows and columns (2 dimensions), found {matrix.ndim}. "
            "A single column is X.reshape(-1, 1)."
        )
    names = [f"x{place}" for place in range(matrix.shape[1])]
    arrays = [_array(name, matrix[:, place]) for place, name in enumerate(names)]
    return pa.table(dict(zip(names, arrays, strict=True)))


def _plain_array(values: Any) -> np.ndarray:
    """An array; a masked one stays masked."""
    return values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)


def _array(name: str, values: np.ndarray) -> pa.Array:
    """A column; masked values are missing, and the others keep their type and every digit."""
    mask = None
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        # What lies under the mask may not even be readable.
        values = np.ma.filled(values, None) if values.dtype == object else values.data
    values = in_64_bits(np.ascontiguousarray(values), f"Column {name!r}")
    if values.dtype == object:
        absent = np.array([_is_missing(one) for one in values], bool)
        absent = absent if mask is None else absent | mask
        texts = _texts(values, absent)
        if texts is not None:
            return pa.array(texts, pa.string())
    if values.dtype.kind == "c":
        raise DataError(
            f"Column {name!r} holds complex numbers ({values.dtype}); expected real ones. Give "
            "their real and imaginary parts as two columns."
        )
    try:
        return pa.array(values, from_pandas=True, mask=mask)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        texts = whole_number_texts(values, absent) if values.dtype == object else None
        if texts is not None:
            return pa.array(texts, pa.string())
        if isinstance(error, OverflowError) or "too large" in str(error):
            raise DataError(
                f"Column {name!r} holds whole numbers of more than 64 bits beside other numbers. "
                "Give all of them as text if they are classes or codes; else as floats."
            ) from None
        raise DataError(
            f"Column {name!r} cannot be read: {error}. Expected values of one type."
        ) from None
