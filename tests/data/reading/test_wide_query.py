"""A query with many columns is run once, and its result is what each query would have read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from descend.data.reading.narrow import NARROW
from descend.data.reading.open_table import open_table
from descend.data.reading.table import ROW, Table

COUNT = NARROW + 20
FILE = pa.table(
    {
        **{f"c{place}": pa.array([place + row / 4 for row in range(9)]) for place in range(COUNT)},
        "rowid": pa.array(range(9)),
        "day": pa.array([row * 86_400_000 for row in range(9)], pa.timestamp("ms")),
        "kind": pa.array(["a", "b", None] * 3),
    }
)


def rows_of(table: Table, names: list[str]) -> list[dict[str, object]]:
    listed = ", ".join(f'{one.sql} AS "{one.name}!"' for one in table.columns if one.name in names)
    return table.query(f"SELECT {ROW}, {listed} FROM {table.rows} ORDER BY {ROW}").to_pylist()


def as_read(query: str, monkeypatch: pytest.MonkeyPatch) -> Table:
    """The table as it is without the copy."""
    with monkeypatch.context() as patched:
        patched.setattr("descend.data.reading.open_table.run_once", lambda table: table)
        return open_table(query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM '{file}'",
        "SELECT * FROM '{file}' WHERE kind = 'b'",
        "SELECT * FROM '{file}' ORDER BY c0 DESC",
        "SELECT a.*, b.c0 AS other FROM '{file}' a JOIN '{file}' b ON a.rowid = b.rowid ORDER BY 1",
    ],
)
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_rows_of_a_wide_query(
    tmp_path: Path, query: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"t.{suffix}"
    pq.write_table(FILE, file) if suffix == "parquet" else pa.csv.write_csv(FILE, file)
    asked = query.format(file=file)
    table, expected = open_table(asked), as_read(asked, monkeypatch)
    # All of a file is read as its path is, part by part.
    assert table.held is not (query == "SELECT * FROM '{file}'")
    assert not expected.held
    assert [(one.name, one.type, one.sql_type) for one in table.columns] == [
        (one.name, one.type, one.sql_type) for one in expected.columns
    ]
    names = ["c0", f"c{COUNT - 1}", "rowid", "day", "kind", "other"]
    assert rows_of(table, names) == rows_of(expected, names)


def test_a_wide_query_without_rows_is_told(tmp_path: Path) -> None:
    pq.write_table(FILE, tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="has no rows"):
        open_table(f"SELECT * FROM '{tmp_path}/t.parquet' WHERE c0 < 0")


def test_types_that_arrow_lacks_are_read_by_each_query(tmp_path: Path) -> None:
    pq.write_table(FILE, tmp_path / "t.parquet")
    query = f"SELECT *, rowid::HUGEINT AS huge FROM '{tmp_path}/t.parquet'"
    table = open_table(query)
    assert not table.held
    assert rows_of(table, ["huge"])[8]["huge!"] == 8
