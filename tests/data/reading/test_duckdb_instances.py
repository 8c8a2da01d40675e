"""A database that serves one table after another, and leaves nothing of one to the next."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from descend.data.reading import duckdb_instances
from descend.data.reading.connection import Instance
from descend.data.reading.open_table import open_table

ROWS = pa.table({"size": [1.5, 2.5], "price": [3, 4]})


@pytest.fixture(autouse=True)
def _none_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duckdb_instances, "_idle", [])


def database_of(instance: Instance) -> int:
    return id(instance._connection)


def test_later_tables_use_it_one_at_a_time() -> None:
    first = Instance(None)
    used = database_of(first)
    second = Instance(None)
    assert database_of(second) != used
    del first
    assert database_of(Instance(None)) == used


@pytest.mark.parametrize(
    "change",
    [
        lambda instance: instance.plan_wide(),
        lambda instance: instance.lock({}, []),
        lambda instance: instance.cursor().execute("SET threads = 1").fetchall(),
        lambda instance: instance.cursor().execute("CREATE TABLE remains AS SELECT 1").fetchall(),
        lambda instance: instance.cursor().execute("CREATE VIEW remains AS SELECT 1").fetchall(),
        lambda instance: instance.cursor().execute("ATTACH ':memory:' AS remains").fetchall(),
        lambda instance: instance._connection.close(),
    ],
)
def test_nothing_of_a_table_is_left_to_the_next(change: Callable[[Instance], None]) -> None:
    first = Instance(None)
    used = database_of(first)
    kept = first._connection  # So that no other one gets its id.
    change(first)
    del first
    assert database_of(Instance(None)) != used
    del kept


def test_a_bound_of_memory_is_for_one_table() -> None:
    bounded = Instance(64 << 20)
    used, kept = database_of(bounded), bounded._connection
    del bounded
    assert database_of(Instance(None)) != used
    del kept


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_that_changes_is_read_anew(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"data.{ending}"
    used = set()
    for table in (ROWS, pa.table({"size": [1.5, 2.5], "price": [7, 8]}), pa.table({"b": [5]})):
        write = pyarrow.csv.write_csv if ending == "csv" else pyarrow.parquet.write_table
        write(table, file)
        os.utime(file, ns=(0, 0))
        opened = open_table(file)
        used.add(database_of(opened.instance))
        assert opened.query(f"SELECT * FROM {opened.relation}").to_pydict() == table.to_pydict()
        del opened
    assert len(used) == 1


def test_a_forked_process_leaves_those_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing one there would wait for threads that only the parent has."""
    monkeypatch.setattr(duckdb_instances, "_of_the_parent", [])
    used = database_of(Instance(None))
    duckdb_instances._after_fork()  # As Python calls it in the child.
    assert database_of(Instance(None)) != used
    assert [id(one.connection) for one in duckdb_instances._of_the_parent] == [used]
