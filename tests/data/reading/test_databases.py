"""Tables in PostgreSQL and SQLite are read as files are, and only read."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from descend import api
from descend.data.reading.expressions import number_sql
from descend.data.reading.open_table import open_table
from descend.data.reading.table import Table
from descend.errors import DataError
from descend.io.secrets import without_secrets
from tests import postgres

ROWS = 70_000


def rows_of(table: Table) -> list[dict[str, Any]]:
    listed = ", ".join(column.sql for column in table.columns)
    return table.query(f"SELECT {listed} FROM {table.rows} LIMIT 3").to_pylist()


def fill(connection: Any, insert: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE flights (a double precision, k text, day date, n numeric)")
        cursor.execute(insert)
        cursor.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
        cursor.execute(
            "CREATE TABLE odd AS SELECT 12.34::numeric::money AS price, "
            "interval '1 day 90 seconds' AS took, '10.0.0.1'::inet AS host, 'happy'::mood AS mood, "
            "'00000000-0000-0000-0000-00000000000a'::uuid AS id, B'101' AS flags, "
            "timestamp 'infinity' AS until, date '2024-01-31' AS day, 2.5::numeric AS n"
        )
        cursor.execute("CREATE MATERIALIZED VIEW seen AS SELECT * FROM odd")
        cursor.execute('CREATE TABLE "it\'s a ""b"" c" (x int, y int)')
        cursor.execute('INSERT INTO "it\'s a ""b"" c" VALUES (1, 2), (3, NULL)')
    connection.commit()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    pytest.importorskip("adbc_driver_postgresql")
    reason = postgres.reason_against()
    if reason is not None:
        pytest.skip(reason)
    from adbc_driver_postgresql import dbapi

    with postgres.server() as host:
        found = f"postgresql://ann:{quote(postgres.PASSWORD, safe='')}@{host}/postgres"
        with dbapi.connect(found) as connection:
            fill(
                connection,
                "INSERT INTO flights SELECT i / 2.0, 'k' || i % 5, date '2024-01-01' + i % 9, i "
                f"FROM generate_series(0, {ROWS - 1}) AS i",
            )
        yield found


def test_postgres_tables_are_read(address: str) -> None:
    table = open_table(f"{address}#flights")
    assert table.count() == ROWS
    assert [column.type for column in table.columns][:3] == ["number", "text", "date"]
    assert [row["a"] for row in rows_of(table)] == [0.0, 0.5, 1.0]
    assert open_table(f"{address}#public.flights").count() == ROWS
    odd = open_table(f'{address}#it\'s a "b" c')
    assert rows_of(odd) == [{"x": 1, "y": 2}, {"x": 3, "y": None}]
    chosen = open_table(f"{address}#SELECT k, avg(a) AS m FROM flights GROUP BY k ORDER BY k")
    assert chosen.count() == 5
    assert chosen.fingerprint()["hash"]


@pytest.mark.parametrize(
    "part", ["odd", "seen", "SELECT * FROM odd", "WITH o AS (SELECT * FROM odd) SELECT * FROM o;"]
)
def test_types_that_arrow_does_not_have(address: str, part: str) -> None:
    table = open_table(f"{address}#{part}")
    types = {column.name: column.type for column in table.columns}
    listed = ", ".join(
        f"{number_sql(one) if types[one.name] == 'number' else one.sql} AS {one.sql}"
        for one in table.columns
    )
    row = table.query(f"SELECT {listed} FROM {table.rows}").to_pylist()[0]
    assert row == {
        "price": "12.34",
        "took": 86_490.0,
        "host": "10.0.0.1/32",
        "mood": "happy",
        "id": "00000000-0000-0000-0000-00000000000a",
        "flags": "101",
        "until": None,
        "day": datetime.date(2024, 1, 31),
        "n": "2.5",
    }


def test_postgres_is_only_read(address: str) -> None:
    for text in (
        "SELECT 1; DROP TABLE flights",
        "WITH gone AS (DELETE FROM flights RETURNING *) SELECT * FROM gone",
        "SELECT set_config('default_transaction_read_only', 'off', false); DROP TABLE flights",
    ):
        with pytest.raises(DataError):
            open_table(f"{address}#{text}")
    assert open_table(f"{address}#flights").count() == ROWS


def test_no_password_reaches_a_message_or_a_file(address: str, tmp_path: Path) -> None:
    secrets = (postgres.PASSWORD, quote(postgres.PASSWORD, safe=""))
    wrong = address.replace(quote(postgres.PASSWORD, safe=""), "another-secret")
    for bad in (f"{address}#nothing", f"{address}#SELECT nothing", address, f"{wrong}#flights"):
        with pytest.raises(DataError) as caught:
            open_table(bad)
        said = str(caught.value)
        assert not any(secret in said for secret in (*secrets, "another-secret"))
        assert "ann@127.0.0.1" in said
    out = tmp_path / "run"
    api.train(
        f"{address}#SELECT a, k, a * 2 AS y FROM flights LIMIT 500",
        target="y",
        validation=f"{address}#SELECT a, k, a * 2 AS y FROM flights OFFSET 500 LIMIT 100",
        batch_size=64,
        learning_rate=0.1,
        epochs=1,
        out=out,
    )
    for path in out.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in secrets), path
    assert "ann@127.0.0.1" in (out / "run.json").read_text()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pytest.importorskip("adbc_driver_sqlite")
    path = tmp_path / "odd name%20?.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE flights (a real, k text, rowid int)")
        rows = ((row / 2, f"k{row % 5}", row // 2) for row in range(ROWS))
        connection.executemany("INSERT INTO flights VALUES (?, ?, ?)", rows)
    connection.close()
    return path


def test_sqlite_files_are_read(file: Path) -> None:
    table = open_table(file)
    assert table.count() == ROWS
    assert rows_of(table)[1] == {"a": 0.5, "k": "k1", "rowid": 0}
    assert [one["path"] for one in table.fingerprint()["files"]] == [str(file)]
    assert open_table(f"SELECT k FROM '{file}' WHERE a < 2").count() == 4


def test_a_table_of_several_is_named(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE other AS SELECT 1 AS a, 'x' AS k, 3 AS rowid")
    connection.close()
    with pytest.raises(DataError, match=r"several tables: flights, other\. Name one as  '.*#fl"):
        open_table(file)
    with pytest.raises(DataError, match="Did you mean 'flights'"):
        open_table(f"{file}#flihgts")
    flights, other = open_table(f"{file}#flights"), open_table(f"{file}#other")
    assert (flights.count(), other.count()) == (ROWS, 1)
    assert flights.fingerprint() != other.fingerprint()
    assert open_table(f"{file}#SELECT a * 2 AS b FROM flights WHERE a < 2").count() == 4


def test_sqlite_is_only_read(file: Path) -> None:
    before = file.read_bytes()
    for text in (
        "SELECT 1; DROP TABLE flights",
        "WITH x AS (SELECT 1) INSERT INTO flights SELECT 1, 2, 3",
        "WITH x AS (SELECT 1) DELETE FROM flights",
    ):
        with pytest.raises(DataError):
            open_table(f"{file}#{text}")
    assert file.read_bytes() == before


def test_what_is_no_server_is_told_in_one_line() -> None:
    pytest.importorskip("adbc_driver_postgresql")
    with pytest.raises(DataError) as caught:
        open_table("postgresql://ann:secret@127.0.0.1:1/db#t")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ann:se%40cret@host/db#t", "postgresql://ann@host/db#t"),
        ("postgresql://host/db?user=ann&password=secret", None),
        ("postgresql://host/db?sslpassword=secret&x=1", None),
        ("https://u:secret@host/t.csv", "https://u@host/t.csv"),
        ("https://:secret@host/t.csv", "https://@host/t.csv"),
        ("https://host/t.csv?X-Amz-Signature=secret&n=2", None),
        ("s3://b/t.parquet?s3_secret_access_key=secret", None),
        ("table.csv", "table.csv"),
        ("SELECT * FROM 'https://u:secret@host/a.csv' WHERE k = 'a:b@c'", None),
    ],
)
def test_secrets_are_taken_out_of_addresses(text: str, shown: str | None) -> None:
    assert "secret" not in without_secrets(text).replace("s3_secret_access_key", "")
    assert shown is None or without_secrets(text) == shown


@pytest.mark.parametrize(
    ("usual", "late", "expected"),
    [
        (1, 0.1, 0.1),
        (1, "n/a", "n/a"),
        (0.1, "n/a", "n/a"),
        (None, 2.5, 2.5),
        (None, "a", "a"),
        ("a", 0.1, "0.1"),
        (2**53 + 1, 0.5, "0.5"),
        (-(2**63), 0.5, "0.5"),
    ],
)
def test_sqlite_columns_of_mixed_types(
    tmp_path: Path, usual: Any, late: Any, expected: Any
) -> None:
    """A value of another type after the first batch was an error that named no cause."""
    pytest.importorskip("adbc_driver_sqlite")
    path = tmp_path / "mixed.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x, y)")
        rows = [(usual if place < ROWS - 1 else late, place) for place in range(ROWS)]
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
    table = open_table(path)
    assert table.count() == ROWS
    ends = table.query(f"SELECT x, y FROM {table.rows} WHERE y IN (0, {ROWS - 1}) ORDER BY y")
    first = usual if usual is None or isinstance(expected, float) else str(usual)
    assert ends.to_pylist() == [{"x": first, "y": 0}, {"x": expected, "y": ROWS - 1}]


def test_two_columns_of_one_name_in_sqlite(file: Path) -> None:
    with pytest.raises(DataError, match="two columns"):
        open_table(f"{file}#SELECT a, a FROM flights")
