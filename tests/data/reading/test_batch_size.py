"""Batches stay within rows and bytes, whatever the cells hold."""

from __future__ import annotations

import pyarrow as pa
import pytest

from descend.data.reading.batch_size import join_batches
from descend.data.reading.open_table import open_table


def batches(lengths: list[int], rows: int) -> list[pa.RecordBatch]:
    table = pa.table({"text": ["x" * length for length in lengths]})
    return table.to_batches(max_chunksize=rows)


@pytest.mark.parametrize("lengths", [[1] * 500, [0, 5000, 1, 1, 9000, 2], [300] * 64, []])
@pytest.mark.parametrize("bounds", [(1000, 1 << 20), (7, 1 << 20), (1000, 2000), (1, 1)])
def test_all_rows_come_in_order_and_within_both_bounds(
    lengths: list[int], bounds: tuple[int, int]
) -> None:
    rows, most = bounds
    source = batches(lengths, min(rows, 16))
    found = list(join_batches(source, rows, most))
    assert [len(text) for one in found for text in one.column(0).to_pylist()] == lengths
    assert all(one.num_rows <= rows for one in found)
    assert all(one.nbytes <= most or one.num_rows == 1 for one in found)


def test_small_batches_are_joined() -> None:
    assert len(list(join_batches(batches([3] * 100, 10), 50, 1 << 20))) == 2


def test_long_cells_of_a_table_come_a_few_at_a_time() -> None:
    table = open_table(pa.table({"n": list(range(3000)), "text": ["y" * 1000] * 3000}))
    found = list(table.batches(["text", "n"], most_bytes=200_000))
    assert sum(one.num_rows for one in found) == 3000
    assert max(one.column(0).nbytes for one in found) <= 200_000
    numbers = [row for one in found for row in one.column("row_number").to_pylist()]
    assert numbers == list(range(3000))
