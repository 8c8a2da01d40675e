import itertools

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from descend.data.rows.batches import (
    CHUNK_BYTES,
    BatchPlan,
    Chunk,
    chunks,
    plan_batches,
    without_microbatches,
)
from descend.data.rows.order import epoch_rows
from descend.data.rows.store import MemoryStore
from descend.errors import SettingsError
from descend.types import Batch, Position
from tests.problems import numbered, numbers, store_of


def epoch_of(plan: BatchPlan, store: MemoryStore | None = None, epoch: int = 0) -> list[Chunk]:
    """The chunks of an epoch."""
    source = chunks(store or numbered(plan.rows), plan, Position(epoch, 0))
    return list(itertools.takewhile(lambda chunk: chunk.position <= (epoch + 1, 0), source))


def row_numbers(chunk: Chunk) -> list[list[int]]:
    """The row numbers that count, for each update of a chunk."""
    found = []
    for numeric, weight in zip(chunk.batch.x["numeric"], chunk.batch.weight, strict=True):
        found.append(numeric[weight > 0, 0].astype(int).tolist())
    assert all(found[: chunk.updates])
    assert not any(found[chunk.updates :])
    return found[: chunk.updates]


@st.composite
def any_plan(draw: st.DrawFn) -> BatchPlan:
    rows = draw(st.integers(1, 200))
    return BatchPlan(
        rows=rows,
        batch_size=draw(st.integers(1, rows)),
        seed=draw(st.integers(0, 99)),
        updates_per_chunk=draw(st.integers(1, 30)),
        intervals_per_epoch=draw(st.integers(1, 5)),
        micro_rows=draw(st.integers(1, 60)),
    )


plans = any_plan()


def test_100_000_rows_at_batch_size_1_000_are_100_updates_with_each_row_once() -> None:
    store = numbered(100_000)
    plan = plan_batches(store, 1000, seed=1)
    for epoch in range(2):
        updates = [
            update for chunk in epoch_of(plan, store, epoch) for update in row_numbers(chunk)
        ]
        assert len(updates) == plan.updates_per_epoch == 100
        assert {len(update) for update in updates} == {1000}
        assert sorted(itertools.chain(*updates)) == list(range(100_000))


@given(plan=plans)
def test_an_epoch_has_each_row_once_in_the_order_of_the_seed(plan: BatchPlan) -> None:
    updates = [update for chunk in epoch_of(plan) for update in row_numbers(chunk)]
    sizes = [len(update) for update in updates]
    short = plan.rows % plan.batch_size
    assert sizes == [plan.batch_size] * (plan.rows // plan.batch_size) + [short] * bool(short)
    assert len(sizes) == plan.updates_per_epoch
    found = list(itertools.chain(*updates))
    if plan.batch_size == plan.rows:
        assert sorted(found) == list(range(plan.rows))
    else:
        assert found == epoch_rows(plan.seed, 0, 0, plan.rows, plan.rows).tolist()


@given(plan=plans)
def test_chunks_say_how_much_they_hold_and_have_one_shape(plan: BatchPlan) -> None:
    seen = epoch_of(plan)
    assert sum(chunk.examples for chunk in seen) == plan.rows
    assert sum(chunk.updates for chunk in seen) == plan.updates_per_epoch
    assert seen[-1].position == Position(1, 0)
    for chunk in seen:
        assert chunk.examples == sum(map(len, row_numbers(chunk)))
        if plan.batch_size < plan.rows:
            assert chunk.batch.weight.shape == (plan.updates_per_chunk, plan.padded_rows)
        assert chunk.batch.weight.shape == chunk.batch.y.shape[:2]
    assert plan.padded_rows % plan.microbatches == 0
    assert plan.padded_rows // plan.microbatches <= plan.micro_rows
    assert 0 <= plan.padded_rows - plan.batch_size < plan.microbatches


@given(plan=plans, taken=st.integers(0, 40))
def test_chunks_go_on_from_any_position_as_if_never_stopped(plan: BatchPlan, taken: int) -> None:
    store = numbered(plan.rows)
    whole = list(itertools.islice(chunks(store, plan), taken + 4))
    start = whole[taken - 1].position if taken else Position(0, 0)
    for ours, theirs in zip(
        itertools.islice(chunks(store, plan, start), 4), whole[taken:], strict=True
    ):
        assert ours[1:] == theirs[1:]
        assert np.array_equal(ours.batch.x["numeric"], theirs.batch.x["numeric"])
        assert np.array_equal(ours.batch.weight, theirs.batch.weight)


@given(plan=plans)
def test_no_chunk_crosses_a_cut_between_stretches(plan: BatchPlan) -> None:
    ends = {0}
    for chunk in epoch_of(plan):
        before = max(ends)
        ends.add(before + chunk.updates)
        cut = (before // plan.updates_per_interval + 1) * plan.updates_per_interval
        assert before + chunk.updates <= cut
    for cut in range(0, plan.updates_per_epoch, plan.updates_per_interval):
        assert cut in ends


@given(plan=plans)
def test_filler_repeats_rows_and_weighs_nothing(plan: BatchPlan) -> None:
    for chunk in epoch_of(plan):
        filler = chunk.batch.x["numeric"][chunk.batch.weight == 0, 0]
        assert set(filler.astype(int)) <= set(range(plan.rows))
        assert chunk.batch.weight.sum() == chunk.examples


def test_each_epoch_is_another_order_and_so_is_each_seed() -> None:
    def first_batch(seed: int, epoch: int) -> list[int]:
        plan = BatchPlan(rows=1000, batch_size=50, seed=seed, updates_per_chunk=1)
        return row_numbers(next(chunks(numbered(1000), plan, Position(epoch, 0))))[0]

    assert first_batch(0, 0) == first_batch(0, 0)
    assert len({tuple(first_batch(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_gradient_descent_gathers_the_table_once() -> None:
    seen = list(itertools.islice(chunks(numbered(20), BatchPlan(20, 20, 0, 1), Position(4, 0)), 3))
    assert all(chunk.batch is seen[0].batch for chunk in seen)
    assert [chunk.position for chunk in seen] == [Position(epoch, 0) for epoch in (5, 6, 7)]
    assert [chunk.examples for chunk in seen] == [20, 20, 20]


def test_rows_of_weight_0_come_with_the_content_of_a_row_that_counts() -> None:
    store = store_of([[1.0], [np.nan], [np.inf]], [[1.0], [np.nan], [3e38]], [2, 0, 0])
    batch = next(chunks(store, BatchPlan(3, 3, 0, 1, micro_rows=2))).batch
    assert np.array_equal(batch.x["numeric"].ravel(), [1, 1, 1, 1])
    assert np.array_equal(batch.y.ravel(), [1, 1, 1, 1])
    assert np.array_equal(batch.weight.ravel(), [2, 0, 0, 0])
    assert np.isnan(store.y[1, 0])


def test_rows_of_weight_0_alone_come_as_zeros() -> None:
    store = store_of([[np.nan], [np.nan]], [[np.nan], [np.nan]], [0, 0])
    batch = next(chunks(store, BatchPlan(2, 1, 0, 2))).batch
    assert not batch.x["numeric"].any()
    assert not batch.y.any()


@pytest.mark.parametrize("batch_size", [1, 7, 1000, 20_000])
def test_a_planned_chunk_holds_about_its_bytes(batch_size: int) -> None:
    store = numbers(20_000, columns=90)
    plan = plan_batches(store, batch_size, seed=0)
    size = plan.updates_per_chunk * batch_size * store.row_bytes
    assert size <= max(CHUNK_BYTES, batch_size * store.row_bytes)
    assert plan.updates_per_chunk >= 1
    assert plan.updates_per_chunk <= plan.updates_per_epoch


@pytest.mark.parametrize("batch_size", [64, 100, 256, 1000])
@pytest.mark.parametrize("intervals", [1, 3])
def test_the_chunks_of_an_interval_are_about_equally_long(batch_size: int, intervals: int) -> None:
    store = numbered(32_768)
    size = 61 * batch_size * store.row_bytes
    plan = plan_batches(store, batch_size, 0, intervals_per_epoch=intervals, chunk_bytes=size)
    number = -(-plan.updates_per_interval // plan.updates_per_chunk)
    assert plan.updates_per_chunk <= 61
    assert number == -(-plan.updates_per_interval // 61), "no more than are needed"
    assert number * plan.updates_per_chunk - plan.updates_per_interval < number


def test_chunks_of_any_size_hold_the_same_rows() -> None:
    store = numbers(500)
    orders = []
    for size in (1, 100, 10_000, 1 << 20):
        plan = plan_batches(store, 7, seed=3, chunk_bytes=size)
        parts = [
            chunk.batch.y[: chunk.updates][chunk.batch.weight[: chunk.updates] > 0]
            for chunk in epoch_of(plan, store)
        ]
        orders.append(np.concatenate(parts))
    assert all(np.array_equal(order, orders[0]) for order in orders)


@given(plan=plans)
def test_arrays_filled_again_hold_the_same_rows(plan: BatchPlan) -> None:
    store = numbers(plan.rows)
    again = chunks(store, plan, buffers=2)
    before = None
    for own in itertools.islice(chunks(store, plan), 6):
        chunk = next(again)
        assert chunk[1:] == own[1:]
        assert same_batch(chunk.batch, own.batch)
        # The arrays of the chunk before this one have not been overwritten.
        assert before is None or same_batch(*before)
        before = chunk.batch, own.batch


def same_batch(left: Batch, right: Batch) -> bool:
    leaves = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all(np.array_equal(one, other) for one, other in leaves)


def test_a_batch_of_coupled_rows_stays_whole_or_is_refused_with_the_largest_that_can() -> None:
    store = numbered(1000)
    whole = plan_batches(store, 100, seed=0)
    divided = plan_batches(store, 1000, seed=0, most_bytes=400 * store.row_bytes)
    assert without_microbatches(whole).microbatches == 1
    assert divided.accumulation_steps > 1
    with pytest.raises(SettingsError, match=f"Give at most {divided.chunk_rows:,}"):
        without_microbatches(divided)
    assert (
        without_microbatches(
            plan_batches(store, divided.chunk_rows, seed=0, most_bytes=400 * store.row_bytes)
        ).microbatches
        == 1
    )
