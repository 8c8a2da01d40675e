"""Text that is stored as bytes, as older programs write it to Parquet files."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from descend.data.reading.sql import quote_name

_SAMPLE_ROWS = 2_000
_CONTROLS = r"[\x00-\x08\x0e-\x1f]"
"""Characters that no text has, and that bytes of other content soon do."""


def text_of(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray | None:
    """The texts of bytes; None if they are none, or if all are missing."""
    if values.null_count == len(values):
        return None
    try:
        texts = values.cast(pa.large_string())
    except pa.ArrowInvalid:
        return None
    return None if pc.any(pc.match_substring_regex(texts, _CONTROLS)).as_py() else texts


def is_bytes(kind: pa.DataType) -> bool:
    """Whether values of a type are bytes of any length."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def decoded_columns(path: str, schema: pa.Schema, *, parquet: bool) -> dict[str, str]:
    """SQL of the text of each column of bytes of a file whose first rows hold text, by name."""
    names = [field.name for field in schema if is_bytes(field.type)]
    if not names:
        return {}
    if parquet:
        with pq.ParquetFile(path) as file:
            rows = next(file.iter_batches(_SAMPLE_ROWS, columns=names), None)
    else:
        with pa.memory_map(path) as stream:
            file = pa.ipc.open_file(stream)
            rows = file.get_batch(0).slice(0, _SAMPLE_ROWS) if file.num_record_batches else None
    if rows is None:
        return {}
    return {
        name: f"decode({quote_name(name)})"
        for name in names
        if text_of(rows.column(rows.schema.get_field_index(name))) is not None
    }
