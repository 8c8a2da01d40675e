"""Wide Parquet and Arrow files copied by Arrow are the tables that DuckDB reads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from descend.data.prepare import prepare
from descend.data.reading import table as table_module
from descend.data.reading.narrow import NARROW
from descend.data.reading.open_table import open_table
from descend.data.reading.table import MARK, ROW, Table
from descend.data.reading.table_copies import copied, in_arrow
from descend.data.reading.table_share import share_of
from descend.settings import Settings
from tests.sharing import in_processes

ROWS = 25
MADE: list[Callable[[int], Any]] = [
    lambda row: row / 7,
    lambda row: None if row % 5 == 3 else f"text {row % 4}",
    lambda row: float("nan") if row % 4 == 1 else float(row),
    lambda row: row % 3 == 0,
    lambda row: datetime(2024, 1, 31) + timedelta(hours=row),
    lambda row: Decimal(row) / 4,
    lambda row: None,
]
TYPES = [
    *(pa.float64(), pa.dictionary(pa.int8(), pa.string()), pa.float32(), pa.bool_()),
    *(pa.timestamp("us"), pa.decimal128(12, 3), pa.float64()),
]
NAMES = ["rowid", "a.b", "a", *(f"c{place}" for place in range(NARROW + 10))]


def columns(first: int, stop: int) -> pa.Table:
    return pa.table(
        {
            name: pa.array([MADE[place % 7](row) for row in range(first, stop)], TYPES[place % 7])
            for place, name in enumerate(NAMES)
        }
    )


def write(folder: Path, way: str) -> str:
    """Files of unlike lengths; the second has another order of the columns."""
    for number, (first, stop) in enumerate(((0, 9), (9, ROWS))):
        part = columns(first, stop)
        part = part.select(NAMES[::-1]) if number else part
        path = folder / f"part-{number}.{way.split(maxsplit=1)[0]}"
        if way == "parquet":
            pa.parquet.write_table(part, path, row_group_size=4)
        else:
            packed = "zstd" if way.endswith("zstd") else "uncompressed"
            pa.feather.write_feather(part, path, compression=packed, chunksize=4)
    return str(folder / f"part-*.{way.split(maxsplit=1)[0]}")


def content(table: Table) -> Any:
    """The rows with their numbers and marks, the types and the count."""
    with table.marked([f"{ROW} % 2 = 1"]) as marked:
        everything = [one.sql for one in marked.columns]
        rows = marked.query(f"SELECT {', '.join(everything)}, {ROW}, {MARK} FROM {marked.rows}")
        values = marked.values(everything[3:9], where=MARK)
    joined = pa.Table.from_batches(table.batches(everything)).to_pydict()
    types = [one.sql_type for one in table.columns]
    # NaN is not equal to itself.
    return str(([*rows.to_pydict().values()], values.to_pydict(), joined, types, table.count()))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["parquet", "arrow", "arrow zstd"])
@pytest.mark.parametrize("file", [False, True])
def test_arrow_and_duckdb_read_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, file: bool
) -> None:
    path = write(tmp_path, way)
    monkeypatch.setattr("descend.data.reading.wide_files._LEAST_COLUMNS", 40)
    monkeypatch.setattr("descend.data.reading.wide_copy.PIECE_BYTES", 1)
    table = open_table(path)
    with copied(table, tmp_path / "rows" if file else None, without=["c3"]) as copy:
        assert copy is not table
        assert (tmp_path / "rows.1").exists() == file
        assert copy.column("c3") in copy.columns
    with copied(table, tmp_path / "whole" if file else None) as copy:
        assert content(copy) == content(table)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["parquet", "arrow zstd"])
def test_processes_that_share_the_rows_copy_each_its_own(tmp_path: Path, way: str) -> None:
    path = write(tmp_path, way)
    whole = open_table(path)
    with whole.marked([f"{ROW} % 2 = 1"]) as marked:
        chosen = marked.values([marked.columns[1].sql], where=MARK).to_pydict()

    def read(sharing: Any) -> Any:
        own = share_of(open_table(path), sharing, tmp_path / "store")
        with copied(own, None) as copy, copy.marked([f"{ROW} % 2 = 1"]) as marked:
            assert copy is not own
            found = marked.values([marked.columns[1].sql], where=MARK).to_pydict()
            batches = list(copy.batches([copy.columns[0].sql]))
        numbers = [number for one in batches for number in one.column("row_number").to_pylist()]
        return found, [one for batch in batches for one in batch.column("0").to_pylist()], numbers

    shares = in_processes(3, read)
    assert [found for found, _, _ in shares] == 3 * [chosen]
    assert [one for _, values, _ in shares for one in values] == [row / 7 for row in range(ROWS)]
    assert [one for _, _, numbers in shares for one in numbers] == list(range(ROWS))


def test_files_of_other_types_are_left_to_duckdb(tmp_path: Path) -> None:
    for number, kind in enumerate((pa.int32(), pa.int64())):
        table = pa.table({f"c{place}": pa.array([1, 2], kind) for place in range(NARROW + 1)})
        pa.parquet.write_table(table, tmp_path / f"{number}.parquet")
    table = open_table(str(tmp_path / "*.parquet"))
    assert in_arrow(table, None) is None
    with copied(table, None) as same:
        assert same is table


ODD: dict[str, Callable[[], Any]] = {
    "views of text": lambda: pa.array(["a", None, "b"] * 20, pa.string_view()),
    "views of bytes": lambda: pa.array([b"a", None, b"b"] * 20, pa.binary_view()),
    "runs of text": lambda: pa.RunEndEncodedArray.from_arrays([20, 60], ["a", "b"]),
    "runs of numbers": lambda: pa.RunEndEncodedArray.from_arrays([10, 40, 60], [1.5, 2.5, 4.0]),
    "float16": lambda: pa.array(np.arange(60) % 7, pa.float32()).cast(pa.float16()),
    "256 bits": lambda: pa.array([Decimal(row % 9) / 4 for row in range(60)], pa.decimal256(50, 2)),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("way", ["memory", "arrow", "parquet"])
def test_odd_types_are_learned_alike_in_wide_and_narrow_tables(
    tmp_path: Path, kind: str, way: str
) -> None:
    learned = []
    for count in (3, NARROW + 1):
        others = {
            f"c{place}": [(row * row) % 11 / 2 for row in range(60)] for place in range(count)
        }
        rows = pa.table({"odd": ODD[kind](), **others})
        data: Any = rows
        if way != "memory":
            data = str(tmp_path / f"{count}.{way}")
        try:
            if way == "arrow":
                with pa.OSFile(data, "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
                    writer.write_table(rows)
            elif way == "parquet":
                pa.parquet.write_table(rows, data)
        except pa.ArrowNotImplementedError:
            return  # There are no such files.
        learned.append(prepare(data, Settings(target="c0")).schema.columns[0])
    assert learned[0] == learned[1]


def test_a_damaged_file_is_left_to_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(columns(0, 9), path, compression="none", use_dictionary=False)
    text = path.read_bytes()
    path.write_bytes(text[:4] + bytes(60) + text[64:])
    table = open_table(str(path))
    assert in_arrow(table, None) is None


def test_queries_read_a_frame_in_shares() -> None:
    """A frame is not copied, and each process picks its rows."""

    def read(sharing: Any) -> Any:
        own = share_of(open_table(columns(0, ROWS)), sharing, Path("none"))
        rows = own.query(f'SELECT "c7", {ROW} AS row FROM {own.rows}').to_pydict()
        return own.count(), rows["row"], own.values(['"c4"']).num_rows

    found = in_processes(2, read)
    assert found == [(12, [*range(12)], ROWS), (13, [*range(12, 25)], ROWS)]


def test_the_copy_is_the_one_that_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query over the copy gets the columns that it names, not the file."""
    table = open_table(write(tmp_path, "parquet"))
    with copied(table, None) as copy:
        asked: list[int] = []
        held = copy.held_rows
        assert held is not None
        used = held.used_by
        monkeypatch.setattr(
            table_module.HeldRows, "used_by", lambda self, sql: _noted(used(sql), asked)
        )
        copy.query(f'SELECT sum("c4") FROM {copy.rows}')
    assert asked == [1]


def _noted(rows: pa.Table, asked: list[int]) -> pa.Table:
    asked.append(rows.num_columns)
    return rows
