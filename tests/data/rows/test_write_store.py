import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from descend.data.rows import write_store as write_store_module
from descend.data.rows.budget import divide
from descend.data.rows.layout import Layout, decide_layout, layout_from
from descend.data.rows.mapped_store import open_store
from descend.data.rows.store import Filler
from descend.data.rows.store_cache import open_cached_store, store_folder, usable_store
from descend.data.rows.write_store import write_store
from descend.errors import DataError, FileFormatError
from tests.problems import numbered
from tests.stored import KEY, in_file_order, parts_of, sorted_rows, written


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_store_module, "PIECE_BYTES", 160)


@pytest.mark.slow
@given(rows=st.integers(1, 400), size=st.integers(1, 120), bucket_bytes=st.integers(1, 10_000))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_row_is_written_once_whatever_the_memory(
    rows: int, size: int, bucket_bytes: int, tmp_path: Path, small_pieces: None
) -> None:
    table = numbered(rows)
    folder = tmp_path / "store"
    counts = {"training": rows, "validation": rows}
    for bound in (bucket_bytes, 1 << 24):
        parts = parts_of(table, size=size)
        write_store(folder, parts, key=KEY, rows=counts, seed=3, bucket_bytes=bound)
        training, validation = open_store(folder)
        batch = training.gather(np.arange(rows))
        order = batch.x["numeric"][:, 0].astype(int).tolist()
        assert sorted(order) == list(range(rows))
        np.testing.assert_array_equal(batch.y[:, 0], order)
        if bound == bucket_bytes:
            first = order
        # Neither the memory nor the size of the batches shows in the file.
        assert order == first
        kept = validation.resident().x["numeric"][:, 0].astype(int).tolist()
        assert kept == list(range(rows))
        training.resident()


def test_rows_are_shuffled_when_they_are_written(tmp_path: Path) -> None:
    rows = 20_000
    places = in_file_order(written(tmp_path / "one", numbered(rows))[0]).y[:, 0]
    neighbours = np.corrcoef(places[:-1], places[1:])[0, 1]
    assert abs(neighbours) < 5 / np.sqrt(rows)
    assert abs(np.corrcoef(places, np.arange(rows))[0, 1]) < 5 / np.sqrt(rows)
    other = in_file_order(written(tmp_path / "two", numbered(rows), seed=1)[0]).y[:, 0]
    assert not np.array_equal(places, other)


def test_a_store_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    table = numbered(300)

    def broken() -> object:
        yield from list(parts_of(table))[:2]
        raise DataError("the source is gone")

    folder = tmp_path / "store"
    counts = {"training": 300, "validation": 300}
    with pytest.raises(DataError, match="gone"):
        write_store(folder, broken(), key=KEY, rows=counts, seed=0)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    written(folder, table)
    with pytest.raises(DataError, match="gone"):
        write_store(folder, broken(), key=KEY, rows=counts, seed=0)  # type: ignore[arg-type]
    # What stood there before stands there still.
    open_store(folder)[0].resident()


@pytest.mark.parametrize("announced", [299, 301])
def test_another_number_of_rows_than_announced_is_an_error(tmp_path: Path, announced: int) -> None:
    counts = {"training": announced, "validation": 300}
    with pytest.raises(DataError, match="changed while it was read"):
        write_store(tmp_path / "store", parts_of(numbered(300)), key=KEY, rows=counts, seed=0)
    assert not (tmp_path / "store").exists()


def test_too_small_a_disk_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5000))
    with pytest.raises(DataError, match=r"needs 8,400 bytes; 5,000 are free.*store"):
        written(tmp_path / "store", numbered(300))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_bytes = 0
    pwrite = os.pwrite

    def limited(handle: int, content: bytes, offset: int) -> int:
        nonlocal written_bytes
        written_bytes += len(content)
        if written_bytes > 3000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(handle, content, offset)

    monkeypatch.setattr(os, "pwrite", limited)
    with pytest.raises(DataError, match=r"disk is too full.*store"):
        written(tmp_path / "store", numbered(300))
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_one_short_text(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="store"):
        written(tmp_path / "file" / "store", numbered(30))


def test_what_a_dead_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".store.abc.descend-part").mkdir()
    (tmp_path / ".store.abc.descend-part" / "training.y").write_bytes(b"half")
    written(tmp_path / "store", numbered(30))
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_store_is_used_again_until_its_source_changes(tmp_path: Path) -> None:
    folder, said, calls = tmp_path / "in" / "store", [], []

    def write(key: dict[str, object]) -> None:
        calls.append(key)
        table = numbered(50)
        counts = {"training": 50, "validation": 50}
        full = {**key, "schema": "learned"}
        write_store(folder, parts_of(table), key=full, rows=counts, seed=0)

    first, other = {"size": 1}, {"size": 2}
    open_cached_store(folder, first, lambda: write(first), said.append)
    open_cached_store(folder, first, lambda: write(first), said.append)
    assert calls == [first]
    assert "written earlier from the same data" in said[-1]
    open_cached_store(folder, other, lambda: write(other), said.append)
    assert calls == [first, other]
    assert any("other data (size was 1, is 2); it will be written again" in text for text in said)
    assert usable_store(folder, {**other, "schema": "learned"}) is not None
    assert usable_store(folder, {**other, "schema": "something else"}) is None


def test_a_damaged_store_is_made_anew_and_says_so(tmp_path: Path) -> None:
    folder, said = tmp_path / "store", []
    written(folder, numbered(300))
    (folder / "training.y").write_bytes(b"cut")

    def write() -> None:
        written(folder, numbered(300))

    training, _ = open_cached_store(folder, KEY, write, said.append)
    assert any("damaged" in text and "written again" in text for text in said)
    assert sorted_rows(training.gather(np.arange(300))) == sorted_rows(
        numbered(300).gather(np.arange(300))
    )


def test_the_folder_of_a_store_names_its_source(tmp_path: Path) -> None:
    one = store_folder(tmp_path, "/data/flights 2013.csv.gz", {"seed": 1})
    two = store_folder(tmp_path, "/data/flights 2013.csv.gz", {"seed": 2})
    assert one.parent == tmp_path
    assert one.name.startswith("flights2013-")
    assert one != two
    assert store_folder(tmp_path, "…", {}).name.startswith("table-")


def test_small_tables_stay_in_memory_and_large_ones_go_in_windows() -> None:
    budget = divide(1 << 30)
    assert decide_layout(1000, 100, 80, budget, stored=False) == Layout(False)
    assert decide_layout(1000, 100, 80, budget, stored=True) == Layout(True)
    layout = decide_layout(10**9, 10**8, 80, budget, stored=False)
    assert layout.stored
    assert layout.windows is not None
    assert layout.windows.rows * 80 <= budget.window
    assert layout_from(layout.as_json()) == layout
    for record in ({}, {"stored": True, "windows": {"piece_rows": 0, "span": 1}}):
        with pytest.raises(FileFormatError, match="layout"):
            layout_from(record)


@pytest.mark.parametrize("expected", [0, 99, 100, 101, 500])
def test_rows_are_collected_in_their_order_whatever_was_announced(expected: int) -> None:
    table, filler = numbered(100), Filler(expected)
    for start in range(0, 100, 30):
        filler.add(table.gather(np.arange(start, min(100, start + 30))))
    np.testing.assert_array_equal(filler.store().x["numeric"], table.x["numeric"])
    np.testing.assert_array_equal(filler.store().weight, table.weight)
