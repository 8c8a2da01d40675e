from __future__ import annotations

import glob
import json
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

from descend.data.reading.expressions import (
    category_sql,
    number_sql,
)
from descend.data.reading.open_table import open_table
from descend.data.reading.table import ROW
from descend.data.reading.table_copies import copied
from descend.errors import DataError
from tests.tables import rows_of, write

CSV = "a,b,c\n1,x,true\n2.5,,false\n,z,\n"
ROWS = [(1.0, "x", True), (2.5, None, False), (None, "z", None)]


def test_files_are_read_by_name_whatever_the_order_of_their_columns(tmp_path: Path) -> None:
    write(tmp_path / "2.csv", "b,a\ny,2\n")
    write(tmp_path / "1.csv", "a,b\n1,x\n")
    write(tmp_path / "3.csv", "a,b\n3,z\n")
    expected = [(1.0, "x"), (2.0, "y"), (3.0, "z")]
    assert rows_of(open_table(str(tmp_path / "*.csv"))) == expected
    assert rows_of(open_table([tmp_path / "1.csv", tmp_path / "[23].csv"])) == expected


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl", "arrow"])
@pytest.mark.parametrize("name", ["d[1]", "st*r", "wh?t", "[ab]", "[!a]", "**", "a{b,c}", "k[2]/t"])
def test_a_file_is_read_as_itself_whatever_its_name_holds(
    tmp_path: Path, name: str, suffix: str
) -> None:
    for number, stem in enumerate([name, "d1", "star", "what", "a", "b", "c", "ab", "ac", "k2/t"]):
        path = tmp_path / f"{stem}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        frame = pa.table({"a": [float(number)]})
        if suffix == "parquet":
            pa.parquet.write_table(frame, path)
        elif suffix == "arrow":
            pa.feather.write_feather(frame, path)
        else:
            path.write_text(f"a\n{number}\n" if suffix == "csv" else f'{{"a": {number}}}\n')
    asked = str(tmp_path / f"{name}.{suffix}")
    assert rows_of(open_table(asked)) == [(0.0,)]
    assert rows_of(open_table([asked, asked])) == [(0.0,), (0.0,)]
    # Found through a glob it is not expanded again.
    escaped = glob.escape(str(tmp_path / name)) + f".{suffix[0]}*"
    assert rows_of(open_table(escaped)) == [(0.0,)]


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrow"])
def test_typed_files_keep_their_types(tmp_path: Path, suffix: str) -> None:
    frame = pa.table(
        {
            "n": pa.array([1, None], pa.int32()),
            "d": pa.array([10, 20], pa.date32()),
            "t": pa.array([10, 20], pa.timestamp("us", tz="Europe/Berlin")),
            "c": pa.array(["x", "y"]).dictionary_encode(),
            "l": pa.array([[1], []]),
        }
    )
    path = tmp_path / f"t{suffix}"
    if suffix == ".parquet":
        pa.parquet.write_table(frame, path)
    else:
        pa.feather.write_feather(frame, path)
    table = open_table(path)
    assert [column.type for column in table.columns] == [
        "number",
        "date",
        "datetime",
        "text",
        "other",
    ]
    assert table.count() == 2
    assert rows_of(open_table([path, path]))[2:] == rows_of(table)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_durations_are_seconds_in_parquet_too(tmp_path: Path, unit: str) -> None:
    # Parquet has no type for them: pyarrow writes whole numbers, and the unit beside them.
    table = pa.table({"t": pa.array([1, None, 90_000], pa.int64()).cast(pa.duration("s"))})
    table = table.set_column(0, "t", table.column(0).cast(pa.duration(unit)))
    for part in ("a", "b"):
        pa.parquet.write_table(table, tmp_path / f"{part}.parquet")
    asked = [str(tmp_path / "a.parquet"), str(tmp_path / "?.parquet"), table]
    asked.append(f"SELECT * FROM '{tmp_path}/a.parquet'")
    for data in asked:
        read = open_table(data)
        seconds = read.query(f"SELECT {number_sql(read.columns[0])} AS s FROM {read.rows}")
        assert seconds.column("s").to_pylist()[:3] == [1.0, None, 90_000.0]


def test_durations_in_two_units_are_refused(tmp_path: Path) -> None:
    for unit in ("s", "ms"):
        column = pa.array([1, 2], pa.duration(unit))
        pa.parquet.write_table(pa.table({"t": column}), tmp_path / f"{unit}.parquet")
    with pytest.raises(DataError, match=r"'t' as duration\[ms\], and .*duration\[s\]"):
        open_table(str(tmp_path / "*.parquet"))


def test_json_lines_and_arrays(tmp_path: Path) -> None:
    records = [{"a": 1, "b": "x", "d": "2020-01-01"}, {"a": None, "b": "y"}, {"a": 2.5}]
    lines = "\n".join(json.dumps(record) for record in records)
    expected = [(1.0, "x", "2020-01-01"), (None, "y", None), (2.5, None, None)]
    assert rows_of(open_table(write(tmp_path / "t.jsonl", lines))) == expected
    assert rows_of(open_table(write(tmp_path / "t.json", json.dumps(records)))) == expected
    assert rows_of(open_table(write(tmp_path / "t.ndjson", lines))) == expected


def test_a_query_over_files(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b\n1,2\n3,4\n5,6\n")
    table = open_table(f"SELECT a + b AS c FROM '{path}' WHERE a > 1;")
    assert rows_of(table) == [(7,), (11,)]
    assert table.fingerprint()["files"][0]["path"] == path
    assert open_table(f"FROM '{path}'").count() == 3
    assert open_table(f"WITH t AS (SELECT * FROM '{path}') SELECT * FROM t").count() == 3


def test_the_result_of_an_unsteady_query_stays_the_same(tmp_path: Path) -> None:
    table = open_table("SELECT random() AS r FROM range(1000)")
    assert rows_of(table) == rows_of(table)
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(pa.table({"k": np.arange(300_000) % 1000}), path)
    grouped = open_table(f"SELECT k, count(*) AS n FROM '{path}' GROUP BY k")
    assert rows_of(grouped) == rows_of(grouped)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_row_numbers_are_the_order_of_the_files(tmp_path: Path, suffix: str) -> None:
    numbers = np.arange(400_000)
    for part, values in enumerate(np.split(numbers, 4)):
        path = tmp_path / f"{part}.{suffix}"
        if suffix == "parquet":
            pa.parquet.write_table(pa.table({"n": values}), path, row_group_size=7000)
        else:
            path.write_text("n\n" + "\n".join(map(str, values)) + "\n")
    table = open_table(str(tmp_path / f"*.{suffix}"))
    assert table.aggregate({"same": f"bool_and(n = {ROW})"}) == {"same": True}
    read = [np.asarray(batch.column(0)) for batch in table.batches(["n"], rows=5000)]
    assert (np.concatenate(read) == numbers).all()


def test_sums_over_frames_are_the_same_to_the_last_bit() -> None:
    values = np.random.default_rng(0).normal(size=500_000) * 10.0 ** np.arange(500_000).clip(0, 20)
    table = open_table(pa.table({"v": values}))
    sums = {
        tuple(table.aggregate({"a": "avg(v)", "s": "stddev_pop(v)"}, where=f"{ROW} >= 0").values())
        for _ in range(5)
    }
    assert len(sums) == 1


def test_batches_without_columns_still_have_row_numbers() -> None:
    table = open_table(pa.table({"v": [1, 2, 3]}))
    assert [batch.column("row_number").to_pylist() for batch in table.batches([], rows=10)] == [
        [0, 1, 2]
    ]


def test_two_readings_side_by_side() -> None:
    table = open_table(pa.table({"v": np.arange(200_000)}))
    for one, other in zip(table.batches(["v"]), table.batches(["v"]), strict=True):
        assert table.count() == 200_000
        assert one.equals(other)


def test_an_error_breaks_off_the_queries_beside_it() -> None:
    table = open_table(pa.table({"v": [1]}))
    endless = "SELECT sum(a.range % 7) FROM range(1000000000) a, range(1000) b"

    def wrong() -> object:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        table.side_by_side([wrong, lambda: table.query(endless)])
    assert table.side_by_side([lambda: 1, lambda: 2, lambda: 3]) == [1, 2, 3]


def test_csv_columns_are_read_as_asked(tmp_path: Path) -> None:
    table = open_table(write(tmp_path / "t.csv", "a,b\n7,1\n8.0,2\n"))
    assert rows_of(table.reading({"a": "text"})) == [("7", 1.0), ("8.0", 2.0)]
    assert rows_of(table) == [(7.0, 1.0), (8.0, 2.0)]


def test_fingerprints_tell_contents_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a\n1\n")
    first = open_table(path).fingerprint()
    assert first == open_table(path).fingerprint()
    assert first["files"][0]["size"] == 4
    write(tmp_path / "t.csv", "a\n10\n")
    assert open_table(path).fingerprint() != first


def test_fingerprints_of_frames_are_of_the_content() -> None:
    whole = pa.table({"a": np.arange(10.0)})
    pieces = pa.concat_tables([whole.slice(0, 3), whole.slice(3)])
    changed = pa.table({"a": np.arange(10.0)[::-1].copy()})
    assert open_table(whole).fingerprint() == open_table(pieces).fingerprint()
    assert open_table(whole).fingerprint() != open_table(changed).fingerprint()


def test_memory_may_be_limited() -> None:
    table = open_table(pa.table({"v": [1]}), memory=200 * 2**20)
    limit = table.query("SELECT current_setting('memory_limit') AS m").to_pylist()[0]["m"]
    assert limit == "200.0 MiB"


@pytest.mark.parametrize("way", ["csv", "parquet", "query", "copied", "copied to a file"])
def test_sums_over_numbered_rows_are_the_same_to_the_last_bit(tmp_path: Path, way: str) -> None:
    random = np.random.default_rng(0)
    made = pa.table({"x": random.normal(size=600_000), "y": random.normal(size=600_000)})
    path = str(tmp_path / ("made.parquet" if way == "parquet" else "made.csv"))
    write = pa.parquet.write_table if way == "parquet" else pa.csv.write_csv
    write(made, path)
    source = f"SELECT * FROM '{path}' ORDER BY x" if way == "query" else path
    expressions = {"mean": f"avg(x) FILTER ({ROW} > 5)", "deviation": "stddev_pop(y)"}
    with ExitStack() as stack:
        table = open_table(source)
        if way.startswith("copied"):
            file = tmp_path / "copy" if way.endswith("file") else None
            table = stack.enter_context(copied(table, file))
        stack.enter_context(table.in_row_order())
        seen = {tuple(table.aggregate(expressions).values()) for _ in range(5)}
    assert len(seen) == 1


def test_a_copy_leaves_out_what_is_excluded_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    with copied(open_table(path), None, without=("b",)) as copy:
        assert [column.name for column in copy.columns] == ["a", "b"]
        assert copy.query(f"SELECT * FROM {copy.rows}").to_pydict() == {
            "a": [1.0, 3.0],
            ROW.strip('"'): [0, 1],
        }


def test_whole_numbers_in_json_keep_every_digit_as_categories(tmp_path: Path) -> None:
    lines = "".join(f'{{"id": {2**53 + row}, "v": {row}.5, "b": true}}\n' for row in range(5))
    table = open_table(write(tmp_path / "t.jsonl", lines))
    assert [column.type for column in table.columns] == ["text", "number", "boolean"]
    exact = table.reading({"id": "text", "b": "text"})
    found = exact.query(f"SELECT {category_sql(exact.columns[0])} AS id FROM {exact.rows}")
    assert found.column(0).to_pylist() == [str(2**53 + row) for row in range(5)]
    with copied(exact, None) as copy:
        found = copy.query(f"SELECT {category_sql(copy.columns[0])} AS id FROM {copy.rows}")
        assert found.column(0).to_pylist() == [str(2**53 + row) for row in range(5)]


def test_columns_that_json_lines_begin_late_are_seen(tmp_path: Path) -> None:
    lines = '{"a": 1}\n' * 30_000 + '{"a": 2, "late": 5}\n'
    table = open_table(write(tmp_path / "t.jsonl", lines))
    assert [column.name for column in table.columns] == ["a", "late"]
    assert table.aggregate({"most": "max(late)"}) == {"most": 5.0}


def test_types_that_duckdb_does_not_know_are_read_from_arrow_files(tmp_path: Path) -> None:
    exact = pa.array([Decimal("0.25"), None], pa.decimal256(60, 10))
    table = pa.table({"half": pa.array([0.5, 2.0], pa.float16()), "exact": exact})
    with pa.ipc.new_file(tmp_path / "t.arrow", table.schema) as writer:
        writer.write_table(table)
    for data in (table, str(tmp_path / "t.arrow")):
        read = open_table(data)
        found = read.query(f"SELECT half, exact::DOUBLE AS exact FROM {read.rows}")
        assert found.to_pylist() == [{"half": 0.5, "exact": 0.25}, {"half": 2.0, "exact": None}]
