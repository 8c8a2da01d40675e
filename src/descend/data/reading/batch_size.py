"""Batches of rows whose cells take any room, joined and cut to a bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

VECTOR_ROWS = 2048
"""Rows that DuckDB computes at a time."""
BATCH_BYTES = 64 << 20
"""Most bytes of a batch where nobody gives a bound."""


def join_batches(
    source: Iterable[pa.RecordBatch], rows: int, most_bytes: int
) -> Iterator[pa.RecordBatch]:
    """The same rows in batches as large as both bounds allow, at least one row each.

    Args:
        source: batches of a few rows.
        rows: most rows of a batch.
        most_bytes: most bytes of a batch, where a single row does not take more.
    """
    held: list[pa.RecordBatch] = []
    count = size = 0
    for batch in source:
        for piece in _cut(batch, most_bytes):
            if held and (count + piece.num_rows > rows or size + piece.nbytes > most_bytes):
                yield _joined(held)
                held, count, size = [], 0, 0
            held.append(piece)
            count, size = count + piece.num_rows, size + piece.nbytes
    if held:
        yield _joined(held)


def _cut(batch: pa.RecordBatch, most_bytes: int) -> Iterator[pa.RecordBatch]:
    """Halves of a batch, and halves of these, until each is small enough or one row."""
    if batch.nbytes <= most_bytes or batch.num_rows <= 1:
        yield batch
        return
    middle = batch.num_rows // 2
    yield from _cut(batch.slice(0, middle), most_bytes)
    yield from _cut(batch.slice(middle), most_bytes)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
