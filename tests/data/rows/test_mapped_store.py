import dataclasses
import itertools
from pathlib import Path

import jax
import numpy as np
import pytest

from descend.data.rows import mapped_store, write_store
from descend.data.rows.batches import chunks, plan_batches, reader
from descend.data.rows.mapped_store import MappedStore, open_store
from descend.data.rows.store import MemoryStore
from descend.data.rows.store_header import HEADER, describe_store, is_store
from descend.data.rows.windows import Windows
from descend.errors import FileFormatError
from descend.reporting.text.records import inspection_text
from descend.training.loop import fit
from descend.training.stopping_state import Limits
from descend.types import Position
from tests.problems import linear_problem, numbers, store_of
from tests.stored import in_file_order, problem_of, sorted_rows, written

ROWS = 5003


@pytest.fixture(scope="module")
def table() -> MemoryStore:
    """Rows of every group, each unlike the others."""
    random = np.random.default_rng(0)
    return store_of(
        random.normal(size=(ROWS, 3)),
        random.normal(size=(ROWS, 1)),
        random.uniform(0.5, 2, ROWS),
        random.integers(0, 9, (ROWS, 2)),
    )


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of some 70 rows, so that small tables have many."""
    monkeypatch.setattr(write_store, "PIECE_BYTES", 2000)


@pytest.fixture
def store(table: MemoryStore, tmp_path: Path, small_pieces: None) -> MappedStore:
    return written(tmp_path / "store", table)[0]


def windowed(store: MappedStore, span: int = 5) -> MappedStore:
    return store.in_windows(Windows(store.header.piece_rows, span))


def same(one: object, other: object) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_rows_are_had_by_number_in_any_order(store: MappedStore) -> None:
    whole = in_file_order(store)
    for rows in ([0], [5002], [3, 2, 1], [7, 7, 7], [], list(range(100, 900)), [5002, 0, 4000]):
        wanted = np.asarray(rows, np.int64)
        assert same(store.gather(wanted), whole.gather(wanted))


def test_rows_that_are_had_may_be_changed(store: MappedStore) -> None:
    for rows in (np.arange(5), np.asarray([4, 2])):
        store.gather(rows).weight[:] = 99
        assert 99 not in store.gather(rows).weight


def test_a_store_tells_its_size_and_weights(store: MappedStore, table: MemoryStore) -> None:
    assert len(store) == ROWS
    assert store.row_bytes == table.row_bytes == 28
    assert store.mean_weight == pytest.approx(table.mean_weight)
    assert store.resident().mean_weight == pytest.approx(table.mean_weight)


def test_an_epoch_through_windows_has_each_row_once(store: MappedStore, table: MemoryStore) -> None:
    source = windowed(store)
    plan = plan_batches(source, 64, seed=3)
    whole = sorted_rows(table.gather(np.arange(ROWS)))
    read = reader(source, plan)
    for epoch in range(2):
        assert sorted_rows(read(epoch, 0, ROWS)) == whole


@pytest.mark.parametrize("span", [1, 5, 10_000])
def test_chunks_are_the_same_from_disk_and_from_memory(store: MappedStore, span: int) -> None:
    source = windowed(store, span)
    plan = plan_batches(source, 32, seed=3, intervals_per_epoch=3)
    assert plan.windows is not None
    ours, theirs = chunks(source, plan), chunks(in_file_order(store), plan)
    for _ in range(3 * plan.updates_per_epoch // plan.updates_per_chunk):
        assert same(next(ours), next(theirs))


def test_chunks_go_on_from_any_position(store: MappedStore) -> None:
    source = windowed(store)
    plan = plan_batches(source, 48, seed=1)
    seen = list(itertools.islice(chunks(source, plan), 60))
    for number in (0, 7, 33, 52):
        again = chunks(source, plan, seen[number].position)
        assert same(next(again), seen[number + 1])


@pytest.mark.parametrize("batch_size", [16, 700, ROWS])
def test_training_is_the_same_to_the_bit_from_disk_and_from_memory(
    store: MappedStore, batch_size: int
) -> None:
    on_disk, in_memory = windowed(store), in_file_order(store)
    results = []
    for training in (on_disk, in_memory):
        problem = dataclasses.replace(problem_of(in_memory, in_memory), store=training)
        # The mean weight is summed in another order; to the bit it must be one number.
        problem.__dict__["objective"] = problem_of(in_memory, in_memory).objective
        run = problem.loop_config(batch_size, 0.01, limits=Limits(patience=9, epochs=3))
        plan = plan_batches(on_disk, batch_size, seed=0, chunk_bytes=20_000)
        run = dataclasses.replace(
            run, plan=plan, accumulated=problem._programs.accumulated(plan.microbatches)
        )
        if plan.accumulation_steps == 1:
            run = dataclasses.replace(run, accumulated=None)
        results.append(fit(run, problem.begin())[0].state)
    assert same(results[0], results[1])


@pytest.mark.slow
def test_a_batch_in_parts_is_the_same_update_to_rounding(store: MappedStore) -> None:
    whole = in_file_order(store)
    problem = problem_of(whole, whole, l2=0.1)
    found = []
    for parts in (1, 7):
        plan = dataclasses.replace(problem.plan(ROWS), accumulation_steps=parts)
        accumulated = problem._programs.accumulated(plan.microbatches) if parts > 1 else None
        run = problem.loop_config(ROWS, 0.1, limits=Limits(patience=9, epochs=4))
        run = dataclasses.replace(run, plan=plan, accumulated=accumulated)
        loop, _ = fit(run, problem.begin())
        assert loop.state.update == 4
        assert loop.state.examples == 4 * ROWS
        assert loop.position == Position(4, 0)
        found.append(loop)
    for one, other in zip(*(jax.tree.leaves(loop.state) for loop in found), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-6)
    assert found[0].history[-1].train_loss == pytest.approx(found[1].history[-1].train_loss)


def test_positions_stand_still_until_a_batch_is_whole(store: MappedStore) -> None:
    source = windowed(store)
    plan = dataclasses.replace(plan_batches(source, 2000, seed=0), accumulation_steps=4)
    seen = list(itertools.islice(chunks(source, plan), 12))
    # The last batch has 1003 rows: three parts of 500 and less.
    assert [chunk.updates for chunk in seen] == [0, 0, 0, 1] * 2 + [0, 0, 1, 0]
    assert [chunk.position.index for chunk in seen[:5]] == [0, 0, 0, 2000, 2000]
    assert seen[10].position == Position(1, 0)
    assert sum(chunk.examples for chunk in seen[:11]) == ROWS


def test_a_plan_cuts_what_is_larger_than_a_part_of_a_window(store: MappedStore) -> None:
    source = windowed(store)
    plan = plan_batches(source, ROWS, seed=0, chunk_bytes=10_000)
    assert plan.accumulation_steps > 1
    assert plan.chunk_rows * source.row_bytes <= 10_000
    assert plan_batches(source, 300, seed=0, chunk_bytes=10_000).accumulation_steps == 1
    assert plan_batches(in_file_order(store), ROWS, seed=0).accumulation_steps == 1


def test_from_a_file_sorted_by_its_target_training_ends_as_well(
    tmp_path: Path, small_pieces: None
) -> None:
    shuffled = numbers(4000, noise=0.3)
    order = np.argsort(shuffled.y[:, 0])
    losses = []
    for name, rows in (("shuffled", np.arange(4000)), ("sorted", order)):
        training = MemoryStore(*shuffled.gather(rows))
        source = windowed(written(tmp_path / name, training)[0], span=3)
        problem = dataclasses.replace(linear_problem(shuffled), store=source)
        limits = Limits(patience=9, epochs=20)
        run = problem.loop_config(32, 0.01, schedule="cosine", limits=limits)
        losses.append(fit(run, problem.begin())[0].progress.best)
    assert losses[1] == pytest.approx(losses[0], rel=0.01)


@pytest.mark.parametrize("file", ["training.numeric", "training.y", "training.weight"])
def test_an_altered_piece_is_found_when_it_is_first_read(store: MappedStore, file: str) -> None:
    path = store.folder / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    for use in ("resident", "epoch", "blocks"):
        again = open_store(store.folder)[0]
        with pytest.raises(FileFormatError, match=r"damaged: piece \d+ of training"):
            read_through(again, use)
        assert not is_store(store.folder)
        rewritten_header(store)


def read_through(store: MappedStore, use: str) -> None:
    """All rows, as they are read for training in memory, in windows, and for evaluation."""
    if use == "resident":
        store.resident()
    elif use == "epoch":
        source = windowed(store)
        reader(source, plan_batches(source, 50, 0))(0, 0, ROWS)
    else:
        for start in range(0, ROWS, 100):
            store.gather(np.arange(start, min(ROWS, start + 100)))


def rewritten_header(store: MappedStore) -> None:
    """The header that a damaged store lost."""
    from descend.data.rows.store_header import write_header

    first, second = store, MappedStore(store.folder, "validation", store.header, store.checksums)
    write_header(store.folder, store.header, np.concatenate([first.checksums, second.checksums]))


@pytest.mark.parametrize("file", ["header.json", "checksums", "training.y", "validation.numeric"])
@pytest.mark.parametrize("what", ["cut", "longer", "gone", "empty"])
def test_a_store_that_is_cut_or_lacks_a_file_is_refused(
    store: MappedStore, file: str, what: str
) -> None:
    path = store.folder / file
    content = path.read_bytes()
    if what == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": content[:-5], "longer": content + b"x", "empty": b""}[what])
    with pytest.raises(FileFormatError, match=r"row store|damaged"):
        open_store(store.folder)


def test_an_altered_header_is_refused(store: MappedStore) -> None:
    path = store.folder / HEADER
    random = np.random.default_rng(0)
    content = path.read_bytes()
    refused = 0
    for _ in range(200):
        changed = bytearray(content)
        changed[random.integers(len(changed))] = random.integers(256)
        if changed == content:
            continue
        path.write_bytes(changed)
        try:
            opened = open_store(store.folder)[0]
        except FileFormatError:
            refused += 1
        else:  # white space alone
            assert opened.header == store.header
    assert refused > 150


def test_a_newer_store_is_refused_by_name(store: MappedStore) -> None:
    path = store.folder / HEADER
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(FileFormatError, match="version 2"):
        open_store(store.folder)


def test_a_store_describes_itself(store: MappedStore) -> None:
    record = describe_store(store.folder)
    assert record["rows"] == {"training": ROWS, "validation": ROWS}
    assert record["bytes"] == 2 * ROWS * 28
    assert record["made_from"]["files"] == []
    text = inspection_text(record)
    assert "5,003 training rows" in text
    assert "numeric float32[3]" in text
    assert is_store(store.folder)
    assert not is_store(store.folder.parent)


def test_rows_all_over_the_table_hold_few_pages(store: MappedStore) -> None:
    rows = np.random.default_rng(0).integers(0, ROWS, 3 * mapped_store._FEW_ROWS)
    assert same(store.gather(rows), in_file_order(store).gather(rows))
