"""A query is one SELECT that reads the files it names, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from descend.data.reading.open_table import open_table
from descend.data.reading.query import check_query, is_query
from descend.data.reading.recorded_source import accept_recorded_source
from descend.errors import DataError
from descend.runs.fingerprint import check_unchanged

HARMFUL = {
    "two statements": "SELECT 1 AS a; COPY (SELECT 42) TO '{victim}'",
    "three statements": "SELECT 1; COPY (SELECT 42) TO '{victim}'; SELECT 1 AS a",
    "after a common table": "WITH t AS (SELECT 1) SELECT * FROM t; COPY (SELECT 1) TO '{victim}'",
    "copy": "COPY (SELECT 42) TO '{victim}'",
    "attach": "ATTACH '{victim}' AS z",
    "attach after": "SELECT 1 AS a; ATTACH '{victim}' AS z",
    "install": "INSTALL httpfs FROM core",
    "load": "SELECT 1 AS a; LOAD '{victim}'",
    "set": "SET threads TO 1",
    "pragma": "PRAGMA database_list ; SELECT 1",
    "call": "CALL enable_logging(storage = 'file')  ",
    "call alone": "CALL pragma_version()",
    "pragma alone": "PRAGMA database_list",
    "use alone": "USE temp",
    "load alone": "LOAD '{victim}'",
    "vacuum": "vacuum;",
    "begin": "BEGIN",
    "export": "EXPORT DATABASE '{victim}' (FORMAT csv)",
    "create": "CREATE TABLE t AS SELECT 1",
    "insert in a common table": "WITH t AS (INSERT INTO x VALUES (1) RETURNING *) SELECT * FROM t",
    "delete in a common table": "WITH t AS (DELETE FROM x RETURNING *) SELECT * FROM t",
    "logging": "SELECT * FROM enable_logging(storage = 'file', storage_path = '{victim}')",
    "profiling": "SELECT * FROM enable_profiling(save_location = '{victim}')",
    "text that is run": "SELECT * FROM query('SELECT 1')",
    "a table by its name": "SELECT * FROM query_table('x')",
    "settings": "SELECT * FROM duckdb_settings()",
    "secrets": "SELECT a FROM (SELECT * FROM duckdb_secrets()) AS t(a)",
    "a setting": "SELECT current_setting('secret_directory') AS a",
    "a subquery": "SELECT (SELECT count(*) FROM duckdb_secrets()) AS a",
    "another schema": "SELECT * FROM information_schema.tables",
    "a table of settings": "SELECT * FROM pg_settings",
    "a variable of Python's": "SELECT * FROM victim",
    "another file": "SELECT content FROM read_text('{other}' || '.txt')",
    "a file by a wider glob": "SELECT * FROM glob('{other}*')",
}


@pytest.mark.parametrize("name", HARMFUL)
def test_what_could_do_more_than_read_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    victim, other = tmp_path / "victim", tmp_path / "other"
    (tmp_path / "other.txt").write_text("secret")
    victim.write_text("precious")
    text = HARMFUL[name].format(victim=victim, other=other)
    with pytest.raises(DataError) as caught:
        open_table(text)
    assert "defect" not in str(caught.value)
    assert "secret" not in str(caught.value) or "secrets" in text
    assert victim.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.txt", "victim"]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM 't.csv'",
        "FROM 't.csv'",
        "select a from 't.csv' where a > 0;",
        "SELECT a FROM 't.csv' -- all of it",
        "SELECT a FROM 't.csv'; -- all of it\n",
        "-- all of it\nSELECT a FROM 't.csv'",
        "/* all */ (SELECT a FROM 't.csv')",
        "WITH t AS (SELECT * FROM 't.csv') SELECT * FROM t",
        "WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 3) FROM n",
        "SELECT * FROM read_csv('t.csv')",
        "SELECT * FROM read_csv(['t.csv', 't.csv'])",
        "SELECT * FROM read_csv('t*.csv')",
        "SELECT * FROM 't*.csv'",
        "SELECT x.a FROM 't.csv' AS x JOIN 't.csv' AS y USING (a)",
        "SELECT 1 AS a UNION ALL FROM range(3)",
        "SELECT ';' || '--' AS a",
        "VALUES (1), (2)",
    ],
)
def test_what_reads_is_read(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,y\n")
    assert is_query(text)
    assert open_table(text).count() >= 1


@pytest.mark.parametrize(
    "text",
    ["CALL f()", "PRAGMA x", "call pragma_version();", "VACUUM", "begin;", "LOAD 'x.so'", "USE db"],
)
def test_a_statement_is_answered_as_such(text: str) -> None:
    with pytest.raises(DataError, match="Expected one SELECT, found"):
        open_table(text)


@pytest.mark.parametrize("name", ["update data.csv", "call.csv", "set one.parquet", "load x.txt"])
def test_the_name_of_a_file_is_no_statement(name: str) -> None:
    with pytest.raises(DataError, match="no file"):
        open_table(name)


def test_the_files_of_a_query_are_read_as_themselves(tmp_path: Path) -> None:
    (tmp_path / "t[1].csv").write_text("a\n1\n2\n")
    (tmp_path / "t1.csv").write_text("a\n9\n")
    path = tmp_path / "t[1].csv"
    table = open_table(f"SELECT sum(a) AS s FROM '{path}'")
    assert table.query(f"SELECT s FROM {table.rows}").to_pylist() == [{"s": 3}]
    assert [file["path"] for file in table.fingerprint()["files"]] == [str(path)]


def test_a_query_reads_a_csv_file_as_its_path_does(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("day,iso,n,x\n14/02/2021,2021-02-14,1,NA\n1/2/2021,2021-02-01,2,0.5\n")
    by_path, by_query = open_table(path), open_table(f"SELECT * FROM '{path}'")
    types = {column.name: column.type for column in by_query.columns}
    assert types == {"day": "text", "iso": "date", "n": "number", "x": "number"}
    assert {column.name: column.type for column in by_path.columns} == {**types, "iso": "text"}
    assert by_query.aggregate({"missing": "count_if(x IS NULL)"}) == {"missing": 1}
    parts = open_table(f"SELECT year(iso) AS y, n // 2 AS half, n::VARCHAR AS t FROM '{path}'")
    rows = parts.query(f"SELECT y, half, t FROM {parts.rows}").to_pylist()
    assert rows == [{"y": 2021, "half": 0, "t": "1"}, {"y": 2021, "half": 1, "t": "2"}]


@pytest.mark.parametrize("name", ["wide.csv", "wide.parquet"])
def test_all_of_a_wide_file_is_read_as_its_path_is(tmp_path: Path, name: str) -> None:
    """A query of 50,000 columns takes DuckDB a minute to plan."""
    path = tmp_path / name
    table = pa.table({f"c{place}": [place + 0.5, 1.5, None] for place in range(200)})
    write = pyarrow.csv.write_csv if name.endswith("csv") else pyarrow.parquet.write_table
    write(table, path)
    everything = open_table(f"select * from '{path}' -- all;")
    assert everything.fingerprint() == open_table(path).fingerprint()
    assert everything.name == "the query"
    for others in (
        f"SELECT * FROM '{path}' WHERE c0 > 0",
        f"SELECT * EXCLUDE (c0) FROM '{path}'",
        f"SELECT DISTINCT * FROM '{path}'",
        f"SELECT * FROM '{path}' LIMIT 2",
        f"SELECT * FROM '{path}' USING SAMPLE 1",
        f"SELECT COLUMNS('c1') FROM '{path}'",
    ):
        assert not check_query(others).everything
    part = open_table(f"SELECT * FROM '{path}' WHERE c0 > 1")
    assert part.count() == 1
    assert "query" in part.fingerprint()


def test_an_arrow_file_in_a_query(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.feather

    path = tmp_path / "t.arrow"
    pyarrow.feather.write_feather(pa.table({"a": [1, 2, 3]}), path)
    table = open_table(f"SELECT a * 2 AS b FROM '{path}' WHERE a > 1")
    assert table.query(f"SELECT b FROM {table.rows}").to_pydict() == {"b": [4, 6]}


def test_a_mistyped_file_in_a_query_is_named(tmp_path: Path) -> None:
    (tmp_path / "flights.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"Did you mean 'flights\.csv'"):
        open_table(f"SELECT * FROM '{tmp_path}/flihgts.csv'")


def test_the_connection_of_a_query_is_locked(tmp_path: Path) -> None:
    import duckdb

    (tmp_path / "t.csv").write_text("a\n1\n")
    (tmp_path / "u.csv").write_text("a\n1\n")
    table = open_table(f"SELECT * FROM '{tmp_path}/t.csv'")
    cursor = table.cursor()
    for statement in (
        f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
        f"ATTACH '{tmp_path}/out.db'",
        f"SELECT * FROM read_csv('{tmp_path}/u.csv')",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
    ):
        with pytest.raises(duckdb.Error):
            cursor.execute(statement).fetchall()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "u.csv"]


def test_a_query_of_a_record_is_read_only_when_the_user_names_it() -> None:
    assert accept_recorded_source("a.csv", record="r", named=None, option="data") == "a.csv"
    query = "SELECT * FROM 'a.csv'"
    assert accept_recorded_source(query, record="r", named=query, option="data") == query
    for named in (None, "SELECT 1"):
        with pytest.raises(DataError, match="add  data=") as caught:
            accept_recorded_source(query + "\x1b[31m", record="runs/r", named=named, option="data")
        assert "runs/r" in str(caught.value)
        assert "\x1b" not in str(caught.value)
    with pytest.raises(DataError, match="the query"):
        accept_recorded_source("a.db#SELECT 1", record="r", named=None, option="data")
    for address in ("https://x.org/a.csv", "postgresql://u@host/db"):
        with pytest.raises(DataError, match="the address"):
            accept_recorded_source(address, record="r", named=None, option="data")


def test_the_text_of_a_query_ends_before_its_semicolon() -> None:
    assert check_query("SELECT 1 AS a ; -- x\n/* y */ ;").sql == "SELECT 1 AS a"
    assert check_query("SELECT '--' || ';' AS a").sql == "SELECT '--' || ';' AS a"


def test_a_file_that_a_reader_names_and_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no file .*none\.parquet"):
        open_table(f"SELECT * FROM read_parquet(['{tmp_path}/none.parquet'])")


def test_a_reader_takes_no_existing_file_for_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "t[1].csv").write_text("a\n1\n")
    (tmp_path / "t1.csv").write_text("a\n2\n")
    with pytest.raises(DataError, match=r"After FROM it is read as itself: FROM '.*t\[1\]\.csv'"):
        open_table(f"SELECT * FROM read_csv('{tmp_path}/t[1].csv')")
    found = open_table(f"SELECT * FROM '{tmp_path}/t[1].csv'")
    assert found.query("SELECT a FROM " + found.rows).column("a").to_pylist() == [1]


def test_groups_and_random_numbers_are_the_same_each_time(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    rows = pa.table({"k": [row * 7919 % 40_009 for row in range(300_000)]})
    pyarrow.parquet.write_table(rows, path, row_group_size=10_000)
    query = f"SELECT k, sum(1.0 / (k + 1)) AS a, random() AS b FROM '{path}' GROUP BY k"
    first, again = open_table(query), open_table(query)
    everything = [table.query(f"SELECT * FROM {table.rows}") for table in (first, again)]
    assert everything[0].equals(everything[1])
    assert first.fingerprint() == again.fingerprint()


def test_a_query_whose_rows_are_others_each_time_is_known_by_them(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "".join(f"{row},{row % 5}\n" for row in range(3000)))
    query = f"SELECT * FROM '{path}' USING SAMPLE 30% (bernoulli)"
    before, now = (open_table(query).fingerprint() for _ in range(2))
    assert before["files"] == now["files"]
    with pytest.raises(DataError, match="the rows of the query or their order"):
        check_unchanged(tmp_path, before, now)


def test_a_query_whose_rows_come_in_another_order_is_known_by_it(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("rowid,y\n" + "".join(f"1,{row}\n" for row in range(50)))
    query = f"SELECT * FROM '{path}' ORDER BY y"
    hashes = {
        open_table(one).fingerprint()["hash"] for one in (query, f"{query} DESC", f"{query}, 1")
    }
    assert len(hashes) == 2
