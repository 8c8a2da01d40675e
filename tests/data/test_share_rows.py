"""Processes that share a table out keep its rows between them, each a part."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from descend.data import prepare
from descend.data.prepare import Prepared
from descend.data.reading.open_table import open_table
from descend.data.reading.sharing import Sharing
from descend.data.reading.table import Table
from descend.data.rows import write_store
from descend.data.rows.budget import Budget, divide
from descend.data.rows.mapped_store import MappedStore
from descend.data.rows.shared_store import SharedStore
from descend.data.rows.store import MemoryStore
from descend.data.schema.columns import Schema
from descend.data.share_rows import is_shared
from descend.errors import DataError
from descend.settings import Settings
from descend.training.build import problem_of, resolve_task
from descend.training.network.tabular import FIXED
from descend.types import Batch
from tests.sharing import in_processes

ROWS = 2000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "descend" / "stores"


@pytest.fixture
def files(tmp_path: Path) -> str:
    """Three Parquet files of unlike lengths; the last has another order, and lacks targets."""
    random = np.random.default_rng(1)
    steps = np.arange(ROWS)
    price = np.where((steps > 1600) & (steps % 3 > 0), np.nan, steps + random.normal(size=ROWS))
    kind = np.asarray(["a", "b", "c"])[random.integers(0, 3, ROWS)]
    size = random.normal(size=ROWS)
    whole = pa.table({"price": pa.array(price, from_pandas=True), "kind": kind, "size": size})
    for number, (first, last) in enumerate(((0, 100), (100, 1500), (1500, ROWS))):
        part = whole.slice(first, last - first)
        part = part.select(["size", "kind", "price"]) if number == 2 else part
        pq.write_table(part, tmp_path / f"part-{number}.parquet", row_group_size=300)
    return str(tmp_path / "part-*.parquet")


SETTINGS = Settings(target="price", share_rows="yes", seed=4)


def shared(data: str, settings: Settings = SETTINGS, count: int = 3) -> list[Prepared]:
    return in_processes(count, lambda sharing: prepare.prepare(data, settings, sharing=sharing))


def test_together_they_have_the_rows_of_one_process(files: str) -> None:
    alone = prepare.prepare(files, SETTINGS)
    assert isinstance(alone.training, MemoryStore)
    found = shared(files)
    parts = []
    for one in found:
        assert one.schema == alone.schema
        assert (one.layout.processes, one.layout.stored) == (3, False)
        assert isinstance(one.training, SharedStore)
        assert isinstance(one.training.own, MemoryStore)
        assert len(one.training.own) < 0.4 * len(alone.training)
        assert len(one.training) == len(alone.training)
        assert one.training.mean_weight == alone.training.mean_weight
        parts.append(one.training.own)
        assert isinstance(one.validation, MemoryStore)
        assert isinstance(alone.validation, MemoryStore)
        assert np.array_equal(one.validation.y, alone.validation.y)
    assert np.array_equal(np.concatenate([part.y for part in parts]), alone.training.y)
    for name in ("numeric", "category"):
        together = np.concatenate([part.x[name] for part in parts])
        assert np.array_equal(together, alone.training.x[name])
    # What the network learns of the columns before training is the same, too.
    settings = resolve_task(SETTINGS, alone.schema)
    bins = problem_of(settings, alone).init(0)[FIXED]
    for one in found:
        for name, values in problem_of(settings, one).init(0)[FIXED].items():
            assert np.array_equal(values, bins[name])


@pytest.mark.slow
def test_every_process_has_a_store_of_its_part_alone(
    files: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def little(memory: int | None) -> Budget:
        return dataclasses.replace(divide(memory), table=3000, window=6000, validation=1500)

    monkeypatch.setattr(prepare, "keep_to", little)
    monkeypatch.setattr(write_store, "PIECE_BYTES", 700)
    # By itself: the table is larger than the memory that it may take.
    settings = SETTINGS.replace(share_rows="auto")
    found = shared(files, settings)
    stores = sorted(cache.iterdir())
    assert len([one for one in stores if one.is_dir()]) == 3
    rows = []
    for one in found:
        assert isinstance(one.training, SharedStore)
        assert isinstance(one.training.own, MappedStore)
        assert one.training.windows is None
        assert one.training.own.windows == one.layout.windows
        # Of the validation rows as many as memory has room for, the same everywhere.
        assert 1 < len(one.validation) < one.schema.rows.validation
        rows.append(one.training.own.gather(np.arange(len(one.training.own))).y)
    alone = prepare.prepare(files, SETTINGS)
    everything = alone.training.gather(np.arange(len(alone.training))).y
    assert np.array_equal(np.sort(np.concatenate(rows), axis=0), np.sort(everything, axis=0))
    # The stores are used again.
    written = {one: one.stat().st_mtime_ns for one in stores}
    again = shared(files, settings)
    assert {one: one.stat().st_mtime_ns for one in stores} == written
    assert again[0].schema == found[0].schema


def test_a_process_may_have_no_row_with_a_target(tmp_path: Path) -> None:
    target = [None] * 60 + [float(one) for one in range(60)]
    pq.write_table(pa.table({"y": target, "x": range(120)}), tmp_path / "t.parquet")
    found = shared(str(tmp_path / "t.parquet"), Settings(target="y", share_rows="yes"), 4)
    stores = [one.training for one in found]
    assert [len(one.own) for one in stores if isinstance(one, SharedStore)][:2] == [0, 0]


@pytest.mark.parametrize("differs", ["length", "a cell", "the order of the files"])
def test_other_files_under_the_same_name_are_refused(differs: str, tmp_path: Path) -> None:
    """Each process reads its share alone, so nobody sees both versions of a row."""
    for index in range(2):
        folder = tmp_path / str(index)
        folder.mkdir()
        lines = [f"{one % 10},{one % 7}" for one in range(40 + index * (differs == "length"))]
        if index and differs == "a cell":
            lines[30] = "9,6"
        names = "ab" if index == 0 or differs != "the order of the files" else "ba"
        for name, part in zip(names, (lines[:20], lines[20:]), strict=True):
            (folder / f"{name}.csv").write_text("\n".join(["x,y", *part]))

    def work(sharing: Sharing) -> Prepared:
        path = tmp_path / str(sharing.index) / "*.csv"
        return prepare.prepare(str(path), Settings(target="y", share_rows="yes"), sharing=sharing)

    with pytest.raises(DataError, match="Process 1 sees other data than process 0"):
        in_processes(2, work)


@pytest.mark.parametrize("stored", [False, True], ids=["memory", "store"])
@pytest.mark.slow
def test_a_table_of_validation_rows_is_shared_out_too(stored: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name, rows, kinds in (("training", 200, "abc"), ("validation", 61, "abcd")):
        cells = [f"{random.normal()},{kinds[one % len(kinds)]},{one % 7}" for one in range(rows)]
        if name == "validation":
            # What training did not have lies in the share of the last process alone.
            cells.sort(key=lambda one: one.split(",")[1])
        (tmp_path / f"{name}.csv").write_text("\n".join(["x,kind,y", *cells]))
    settings = Settings(
        target="y", share_rows="yes", validation=str(tmp_path / "validation.csv"), seed=1
    )
    said: list[list[str]] = []
    data = str(tmp_path / "training.csv")
    alone_said: list[str] = []
    alone = prepare.prepare(data, settings, say=alone_said.append)
    everything = alone.validation.gather(np.arange(61))
    if stored:
        settings = settings.replace(store=str(tmp_path / "stores"))

    def work(sharing: Sharing) -> Prepared:
        mine: list[str] = []
        said.append(mine)
        return prepare.prepare(data, settings, sharing=sharing, say=mine.append)

    # The second time from the stores of the first.
    for _ in range(1 + stored):
        for one in in_processes(3, work):
            assert one.schema == alone.schema
            found = one.validation.gather(np.arange(61))
            assert np.array_equal(found.y, everything.y)
            for name, values in everything.x.items():
                assert np.array_equal(found.x[name], values)
    (warning,) = [one for one in alone_said if "never or hardly ever saw" in one]
    for mine in said:
        assert [one for one in mine if "never or hardly ever saw" in one] == [warning]


def test_a_schema_that_a_process_alone_has_learned_is_refused(
    files: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = prepare.learn_schema
    first: list[Sharing] = []

    def learn_otherwise(table: Table, settings: Settings, **more: Any) -> Schema:
        schema = learn(table, settings, **more)
        if table.sharing is not None and table.sharing.index == 2:
            first.append(table.sharing)
            return dataclasses.replace(schema, task_reason="of its own")
        return schema

    monkeypatch.setattr(prepare, "learn_schema", learn_otherwise)
    with pytest.raises(DataError, match="Process 2 has learned something else from the columns"):
        shared(files)
    assert len(first) == 1


def test_the_least_memory_of_a_process_decides_about_the_order_of_all(
    files: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would read the rows on its disk in windows of its own, or in none."""

    def budget_of(memory: int | None) -> Budget:
        assert memory is not None
        window = memory >> 17
        return dataclasses.replace(divide(memory), table=3000, window=window, validation=1500)

    monkeypatch.setattr(prepare, "keep_to", budget_of)
    monkeypatch.setattr(write_store, "PIECE_BYTES", 700)

    def work(sharing: Sharing) -> Prepared:
        settings = SETTINGS.replace(share_rows="no", memory=(1 + sharing.index) << 30)
        return prepare.prepare(files, settings, sharing=sharing)

    found = in_processes(2, work)
    assert found[0].layout.windows is not None
    assert found[0].layout == found[1].layout


def test_a_cell_that_only_one_process_reads_changes_the_column_for_all(tmp_path: Path) -> None:
    # Beyond the rows that types are found from.
    cells = [str(one % 50) for one in range(24_000)]
    cells[23_900] = "C12"
    lines = [f"{one % 7},{cell},{one}" for one, cell in enumerate(cells)]
    (tmp_path / "t.csv").write_text("\n".join(["x,code,y", *lines]))
    settings = Settings(target="y", share_rows="yes")
    alone = prepare.prepare(str(tmp_path / "t.csv"), settings)
    for one in shared(str(tmp_path / "t.csv"), settings, 2):
        assert one.schema == alone.schema


@pytest.mark.parametrize("beyond", [[False, False], [False, True]])
def test_by_itself_a_table_is_shared_where_it_is_too_large_for_a_process(
    beyond: list[bool], files: str
) -> None:
    def prepare_one(sharing: Sharing) -> bool:
        table = open_table(files)
        room = table.encoded_bytes() + (-1 if beyond[sharing.index] else 1)
        budget = dataclasses.replace(divide(None), table=room)
        return is_shared(table, SETTINGS.replace(share_rows="auto"), sharing, budget, None)

    assert in_processes(2, prepare_one) == [any(beyond)] * 2


def text_files(folder: Path, name: str) -> tuple[str, int]:
    """A glob for CSV files, and among how many processes they are shared out."""
    lines = [f"{row % 8}.5,{'uvw'[row % 3]},{row % 11}.25" for row in range(60)]
    contents, count = [["a,k,y", *lines]], 3
    if name == "columns in another order":
        contents.append(["y,a,k", *(f"{row % 11},{row % 8},u" for row in range(90))])
    elif name == "fewer rows than processes":
        contents, count = [["a,k,y", *lines[:6]]], 8
    elif name == "a cell larger than a share":
        lines[20] = f'2.5,"{"of text " * 700}",3.5'
        contents = [["a,k,y", *lines]]
    elif name == "files without rows":
        contents = [["a,k,y"], ["a,k,y", *lines], ["a,k,y"]]
    for number, content in enumerate(contents):
        (folder / f"{number}.csv").write_text("\n".join(content))
    return str(folder / "*.csv"), count


@pytest.mark.slow
@pytest.mark.parametrize("stored", [False, True], ids=["memory", "store"])
@pytest.mark.parametrize(
    "name",
    [
        *("columns in another order", "fewer rows than processes"),
        *("a cell larger than a share", "files without rows"),
    ],
)
def test_processes_whose_share_is_unlike_the_others(
    name: str, stored: bool, tmp_path: Path
) -> None:
    data, count = text_files(tmp_path, name)
    store = str(tmp_path / "stores") if stored else None
    settings = Settings(target="y", share_rows="yes", validation=0.3, seed=2)
    alone = prepare.prepare(data, settings)
    found = shared(data, settings.replace(store=store), count)
    rows = []
    for one in found:
        assert one.schema == alone.schema
        assert isinstance(one.training, SharedStore)
        rows.append(one.training.own.gather(np.arange(len(one.training.own))))
    expected = alone.training.gather(np.arange(len(alone.training)))

    def sorted_rows(batches: list[Batch]) -> np.ndarray:
        table = np.concatenate(
            [
                np.hstack([one.y, one.weight[:, None], *map(one.x.get, ("numeric", "category"))])
                for one in batches
            ]
        )
        return table[np.lexsort(table.T)]

    # A store has its rows in an order of its own.
    assert np.array_equal(sorted_rows(rows), sorted_rows([expected]))
