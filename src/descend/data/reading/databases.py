"""Tables in PostgreSQL and SQLite, streamed through ADBC into a temporary Parquet file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa

from descend.data.reading.errors import closest
from descend.data.reading.formats import MOST_EXACT
from descend.data.reading.spool import first_bytes, hash_of
from descend.data.reading.text_bytes import is_bytes
from descend.errors import DataError
from descend.io.secrets import without_secrets

if TYPE_CHECKING:
    from descend.data.reading.spool import Spool

SQLITE = b"SQLite format 3\x00"
_POSTGRES = re.compile(r"postgres(ql)?://", re.IGNORECASE)
_SELECT = re.compile(r"\s*(select|with)\s", re.IGNORECASE)
_BATCH_ROWS = 65_536
_TABLES = {
    "postgresql": (
        "SELECT nspname, relname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n "
        "ON n.oid = relnamespace WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND nspname NOT LIKE "
        "'pg!_%' ESCAPE '!' AND nspname <> 'information_schema' AND "
        "has_table_privilege(c.oid, 'SELECT') ORDER BY 1, 2"
    ),
    "sqlite": (
        "SELECT 'main', name FROM sqlite_schema WHERE type IN ('table', 'view') "
        "AND name NOT LIKE 'sqlite_%' ORDER BY 2"
    ),
}
_DRIVERS = {"postgresql": "adbc_driver_postgresql.dbapi", "sqlite": "adbc_driver_sqlite.dbapi"}
_HOME = {"postgresql": "public", "sqlite": "main"}


def is_database_address(text: str) -> bool:
    """Whether a text is the address of a database server."""
    return _POSTGRES.match(text) is not None


def is_database_file(path: str) -> bool:
    """Whether a file is an SQLite database."""
    return first_bytes(path) == SQLITE


def table_file(address: str, part: str, spool: Spool) -> tuple[str, str]:
    """(a Parquet file with the rows of a database table, its hash).

    The rows are streamed, so that memory does not grow with the table. The connection is
    read-only.

    Args:
        address: `postgresql://user@host/database`, or the path of an SQLite file.
        part: the table (`name` or `schema.name`) or a SELECT; empty for the only table.
        spool: for the file.

    Raises:
        DataError: no connection, no such table, or the driver is not installed.
    """
    kind = "postgresql" if is_database_address(address) else "sqlite"
    shown = without_secrets(address)
    driver = _driver(kind, shown)
    try:
        with driver.connect(_uri(kind, address)) as connection:
            select = _select(connection, kind, part, shown)
            path = spool.new("rows.parquet", f"{shown}#{part}" if part else shown)
            _stream(connection, kind, select, path)
    except (driver.Error, OSError) as error:
        raise DataError(f"{shown}: {_driver_message(error, address)}") from None
    return path, hash_of(path)


def _driver(kind: str, shown: str) -> Any:
    import importlib

    try:
        return importlib.import_module(_DRIVERS[kind])
    except ImportError:
        package = _DRIVERS[kind].partition(".")[0].replace("_", "-")
        raise DataError(
            f"{shown} is a database, which needs {package}. Install it with  "
            "pip install adbc-driver-postgresql adbc-driver-sqlite"
        ) from None


def _uri(kind: str, address: str) -> str:
    """The address for a read-only connection."""
    if kind == "sqlite":
        return f"file:{quote(str(Path(address).absolute()))}?mode=ro"
    joint = "&" if "?" in address else "?"
    return f"{address}{joint}options={quote('-c default_transaction_read_only=on')}"


def _select(connection: Any, kind: str, part: str, shown: str) -> str:
    """The SELECT for the rows that are asked for."""
    if _SELECT.match(part):
        if ";" in part.rstrip().rstrip(";"):
            raise DataError(f"{shown}: expected one SELECT after #, found several statements.")
        return part.rstrip().rstrip(";")
    with connection.cursor() as cursor:
        cursor.execute(_TABLES[kind])
        found = [(schema, name) for schema, name in cursor.fetchall()]
    names = [name if schema == _HOME[kind] else f"{schema}.{name}" for schema, name in found]
    known = {f"{schema}.{name}": (schema, name) for schema, name in found}
    known |= dict(zip(names, found, strict=True))
    if part in known or (not part and len(found) == 1):
        schema, name = known[part or names[0]]
        return f"SELECT * FROM {_quote(schema)}.{_quote(name)}"
    listed = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    if not found:
        raise DataError(f"{shown} has no tables that this user can see.")
    if part:
        raise DataError(f"{shown} has no table {part!r}.{closest(part, names)} It has: {listed}.")
    first = ".".join(map(_quote, found[0])) if names[0] != found[0][1] else _quote(names[0])
    raise DataError(
        f"{shown} has several tables: {listed}. Name one as  '{shown}#{names[0]}'  or write a "
        f"query:  '{shown}#SELECT * FROM {first}'"
    )


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _stream(connection: Any, kind: str, select: str, path: str) -> None:
    """Write the result of a SELECT to a Parquet file, batch by batch."""
    from pyarrow import parquet

    with connection.cursor() as cursor:
        skip = 0
        if kind == "sqlite":
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(_BATCH_ROWS)})
            select, skip = _with_types(cursor, select)
        durations: set[str] = set()
        if kind == "postgresql":
            select, durations = _readable_in_arrow(cursor, select)
        cursor.execute(select)
        reader = cursor.fetch_record_batch()
        schema = pa.schema(
            [
                pa.field(one.name, pa.duration("us") if one.name in durations else _plain(one.type))
                for one in reader.schema
            ]
        )
        with parquet.ParquetWriter(path, schema) as writer:
            for batch in reader:
                arrays = [
                    (column.storage if isinstance(column, pa.ExtensionArray) else column).cast(
                        field.type
                    )
                    for field, column in zip(schema, batch.slice(skip).columns, strict=True)
                ]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
                skip = 0


def _with_types(cursor: Any, select: str) -> tuple[str, int]:
    """(a SELECT whose columns have one type each, number of rows to skip at its front).

    In SQLite every value has a type of its own, and the driver takes those of its first batch for
    all. So the types of all values are looked at, and a first row shows them to the driver. Whole
    numbers that a REAL may not hold are text where another value is one.
    """
    cursor.execute(f"SELECT * FROM ({select}) LIMIT 0")
    names = [str(one[0]) for one in cursor.description]
    if any(re.search(r":[0-9]+$", name) for name in names):
        cursor.execute(select)
        if names != [str(one[0]) for one in cursor.description]:
            return select, 0  # Two columns have one name, which is reported later.
    kinds = ("integer", "real", "text", "blob")
    tests = [
        [*(f"typeof({column}) = '{kind}'" for kind in kinds), _is_inexact(column)]
        for column in map(_quote, names)
    ]
    listed = ", ".join(f"max({one})" for test in tests for one in test)
    cursor.execute(f"SELECT {listed} FROM ({select})")
    flags = [bool(flag) for flag in cursor.fetchone()]
    shown, values = [], []
    for place, name in enumerate(names):
        whole, real, text, blob, inexact = flags[5 * place : 5 * place + 5]
        column = _quote(name)
        if blob:
            first, value = "x'00'", column
        elif text or (real and inexact):
            first, value = "''", _text_of(column) if whole or real else column
        elif real:
            first, value = "0.5", f"CAST({column} AS REAL)" if whole else column
        else:
            first, value = "0", column
        shown.append(f"{first} AS {column}")
        values.append(value)
    rows = f"SELECT {', '.join(values)} FROM ({select})"
    return f"SELECT {', '.join(shown)} UNION ALL {rows}", 1


_TYPE = b"POSTGRESQL:type"
"""The type of a column in PostgreSQL, as the driver notes it beside that in Arrow."""


def _readable_in_arrow(cursor: Any, select: str) -> tuple[str, set[str]]:
    """(a SELECT for PostgreSQL of what the values stand for, the columns of microseconds in it).

    The driver gives money in cents, and of types that Arrow does not have PostgreSQL's own bytes.
    """
    cursor.execute(f"SELECT * FROM ({select}) AS rows LIMIT 0")
    fields = list(cursor.fetch_record_batch().schema)
    if len({field.name for field in fields}) < len(fields):
        return select, set()  # Two columns have one name, which is reported later.
    values, durations = {}, set()
    for field in fields:
        column, kind = _quote(field.name), (field.metadata or {}).get(_TYPE, b"").decode()
        if kind == "money":
            values[column] = f"{column}::numeric"
        elif kind == "interval":
            micros = f"round(extract(epoch FROM {column}) * 1000000)::bigint"
            values[column] = f"CASE WHEN isfinite({column}) THEN {micros} END"
            durations.add(field.name)
        elif kind in ("date", "timestamp", "timestamptz"):
            values[column] = f"CASE WHEN isfinite({column}) THEN {column} END"
        elif kind != "bytea" and _is_binary(_plain(field.type)):
            values[column] = f"{column}::text"
        else:
            values[column] = column
    listed = ", ".join(f"{value} AS {column}" for column, value in values.items())
    return f"SELECT {listed} FROM ({select}) AS rows", durations


def _is_binary(kind: pa.DataType) -> bool:
    return is_bytes(kind) or pa.types.is_fixed_size_binary(kind)


def _is_inexact(column: str) -> str:
    """SQLite's SQL: whether a value is a whole number that a REAL may not hold."""
    beyond = f"{column} > {MOST_EXACT} OR {column} < -{MOST_EXACT}"
    return f"typeof({column}) = 'integer' AND ({beyond})"


def _text_of(column: str) -> str:
    """SQLite's SQL for the text of a value; of a number, the shortest one that gives it back."""
    short, full = (f"printf('%!.{digits}g', {column})" for digits in (15, 17))
    number = f"CASE WHEN CAST({short} AS REAL) = {column} THEN {short} ELSE {full} END"
    return f"CASE typeof({column}) WHEN 'real' THEN {number} ELSE CAST({column} AS TEXT) END"


def _plain(kind: pa.DataType) -> pa.DataType:
    """An Arrow type without the driver's metadata."""
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _driver_message(error: Exception, address: str) -> str:
    """The driver's message, in one line and without the password."""
    text = " ".join(str(error).split())
    try:
        password = urlsplit(address).password
    except ValueError:
        password = None
    for secret in {password, unquote(password or "")} - {None, ""}:
        text = text.replace(str(secret), "***")
    return without_secrets(text)[:400]
