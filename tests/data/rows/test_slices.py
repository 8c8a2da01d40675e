"""The slices of all processes are the batches, row for row."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from descend.data.rows.batches import START, chunks, plan_batches
from descend.data.rows.slices import sliced_chunks
from descend.data.rows.store import MemoryStore
from descend.types import Batch


def numbered(rows: int, weight: float = 2.0) -> MemoryStore:
    """Rows whose target is their number."""
    y = np.arange(rows, dtype=np.float32)[:, None]
    return MemoryStore({"numeric": y + 0.5}, y, np.full(rows, weight, np.float32))


def rows_of(batch: Batch, update: int) -> list[float]:
    """The rows that count, in their order."""
    return [float(one) for one in batch.y[update][batch.weight[update] > 0, 0]]


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
@pytest.mark.parametrize(("rows", "batch_size"), [(37, 8), (32, 8), (37, 1), (37, 37), (40, 3)])
def test_together_they_are_the_batches(rows: int, batch_size: int, processes: int) -> None:
    store = numbered(rows)
    plan = plan_batches(store, batch_size, seed=3, chunk_bytes=400)
    whole = chunks(store, plan)
    parts = [sliced_chunks(store, plan, START, one, processes) for one in range(processes)]
    for expected, *found in itertools.islice(zip(whole, *parts, strict=False), 8):
        assert {part.updates for part in found} == {expected.updates}
        assert {part.examples for part in found} == {expected.examples}
        assert {part.position for part in found} == {expected.position}
        for update in range(expected.updates):
            together = [row for part in found for row in rows_of(part.batch, update)]
            assert together == rows_of(expected.batch, update)
        # What follows the last update counts for nothing.
        assert all((part.batch.weight[expected.updates :] == 0).all() for part in found)


def test_slices_have_one_shape_and_the_size_of_their_share() -> None:
    store = numbered(1000)
    plan = plan_batches(store, 100, seed=0)
    shapes = {
        next(sliced_chunks(store, plan, START, one, 3)).batch.weight.shape for one in range(3)
    }
    assert shapes == {(plan.updates_per_chunk, 34)}


def test_a_slice_without_rows_weighs_nothing() -> None:
    # Of a batch of 3 rows the fourth process has none.
    store = numbered(9)
    chunk = next(sliced_chunks(store, plan_batches(store, 3, seed=0), START, 3, 4))
    assert (chunk.batch.weight == 0).all()
    assert np.isfinite(chunk.batch.x["numeric"]).all()
