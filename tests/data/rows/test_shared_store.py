"""Of rows that are shared out, every batch has of each process its share, and an epoch all rows."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from descend.data.rows.batches import START, BatchPlan, plan_batches
from descend.data.rows.mapped_store import open_store
from descend.data.rows.shared_store import SharedStore
from descend.data.rows.slices import slice_plan, sliced_chunks
from descend.data.rows.store import MemoryStore, RowStore
from descend.data.rows.windows import Windows
from descend.data.rows.write_store import write_store
from descend.types import Batch, Position


def numbered(first: int, rows: int) -> MemoryStore:
    """Rows whose target is their number."""
    y = np.arange(first, first + rows, dtype=np.float32)[:, None]
    return MemoryStore({"numeric": y + 0.5}, y, np.full(rows, 2.0, np.float32))


def shared(sizes: tuple[int, ...]) -> list[SharedStore]:
    """The stores of all processes."""
    starts = np.cumsum((0, *sizes))
    whole = numbered(0, sum(sizes))
    return [
        SharedStore(numbered(int(starts[one]), size), one, sizes, whole, 2.0)
        for one, size in enumerate(sizes)
    ]


def batches(
    stores: list[SharedStore], plan: BatchPlan, start: Position = START
) -> list[list[list[int]]]:
    """The rows of each process in each batch of an epoch."""
    found: list[list[list[int]]] = []
    parts = [sliced_chunks(one, plan, start, one.index, len(stores)) for one in stores]
    for chunks in zip(*parts, strict=True):
        assert len({(one.updates, one.examples, one.position) for one in chunks}) == 1
        shape = (plan.updates_per_chunk, slice_plan(stores[0], plan, len(stores)).padded_rows)
        assert {one.batch.weight.shape for one in chunks} == {shape}
        for update in range(chunks[0].updates):
            found.append([rows_of(one.batch, update) for one in chunks])
        assert all((one.batch.weight[one.updates :] == 0).all() for one in chunks)
        if chunks[0].position.index == 0:
            return found
    raise AssertionError


def rows_of(batch: Batch, update: int) -> list[int]:
    return [int(one) for one in batch.y[update][batch.weight[update] > 0, 0]]


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=9).filter(sum),
    batch_size=st.integers(1, 50),
)
def test_every_row_once_and_each_part_its_share(sizes: list[int], batch_size: int) -> None:
    stores = shared(tuple(sizes))
    rows = sum(sizes)
    plan = plan_batches(stores[0], min(batch_size, rows), seed=3, chunk_bytes=400)
    epoch = batches(stores, plan)
    assert sorted(itertools.chain(*itertools.chain(*epoch))) == list(range(rows))
    for number, batch in enumerate(epoch):
        expected = min(plan.batch_size, rows - number * plan.batch_size)
        assert sum(map(len, batch)) == expected
        if number * plan.batch_size + plan.batch_size <= rows:
            for own, size in zip(batch, sizes, strict=True):
                # Rounding at each halving of the processes moves a row at most, twice.
                assert abs(len(own) - expected * size / rows) < 2 * max(1, len(sizes).bit_length())


def test_a_run_goes_on_in_the_middle_of_an_epoch() -> None:
    stores = shared((30, 11, 0, 52))
    plan = plan_batches(stores[0], 8, seed=1, chunk_bytes=500)
    whole = batches(stores, plan)
    done = plan.updates_per_chunk
    assert 0 < done < len(whole)
    assert batches(stores, plan, Position(0, 8 * done)) == whole[done:]


def test_every_place_in_an_epoch_is_as_likely_for_every_row() -> None:
    stores = shared((12, 5, 7))
    plan = plan_batches(stores[0], 6, seed=9)
    seen: Counter[tuple[int, int]] = Counter()
    epochs = 600
    for epoch in range(epochs):
        for number, batch in enumerate(batches(stores, plan, Position(epoch, 0))):
            seen.update((row, number) for own in batch for row in own)
    counts = np.array([[seen[row, number] for number in range(4)] for row in range(24)])
    # A row is in each of four batches as often as its part has rows in that batch.
    for store in stores:
        of_part = counts[store.first : store.first + len(store.own)]
        expected = of_part.sum(axis=0) / len(of_part)
        statistic = ((of_part - expected) ** 2 / expected).sum()
        # Chi-square with 3 degrees of freedom for each row; five deviations above the mean.
        freedom = 3 * len(of_part)
        assert statistic < freedom + 5 * np.sqrt(2 * freedom)
    assert np.allclose(counts.sum(axis=1), epochs)


def test_the_mean_of_a_batch_varies_less_than_that_of_rows_from_the_whole_table() -> None:
    # Sorted rows, so that the parts differ as much as they can.
    stores = shared((64, 64))
    plan = plan_batches(stores[0], 16, seed=2)
    means = [
        np.mean(list(itertools.chain(*batch)))
        for epoch in range(100)
        for batch in batches(stores, plan, Position(epoch, 0))
    ]
    uniform = np.var(np.arange(128)) / 16 * (128 - 16) / 127
    assert np.mean(means) == pytest.approx(63.5)
    assert np.var(means) < 0.5 * uniform


def test_parts_on_disk_are_read_in_windows(tmp_path: Path) -> None:
    stores: list[SharedStore] = []
    sizes, sample = (90, 61), numbered(0, 151)
    for one, (first, size) in enumerate(((0, 90), (90, 61))):
        part = numbered(first, size)
        batch = Batch(dict(part.x), part.y, part.weight)
        empty = numbered(0, 1)
        parts = [("training", batch), ("validation", Batch(dict(empty.x), empty.y, empty.weight))]
        counts = {"training": size, "validation": 1}
        write_store(tmp_path / str(one), parts, key={}, rows=counts, seed=0)
        training, _ = open_store(tmp_path / str(one))
        windows = Windows(training.header.piece_rows, 1)
        own: RowStore = training.in_windows(windows)
        stores.append(SharedStore(own, one, sizes, sample, 2.0))
    plan = plan_batches(stores[0], 10, seed=3, chunk_bytes=300)
    epoch = batches(stores, plan)
    assert sorted(itertools.chain(*itertools.chain(*epoch))) == list(range(151))
    assert epoch != batches(stores, plan, Position(1, 0))
