"""Copies of a table, in DuckDB's format or in Arrow, that are read faster than their source."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descend.data.reading.spool import has_room
from descend.data.reading.sql import RESERVED, quote_name, quote_text
from descend.data.reading.table import Table
from descend.data.reading.table_column import stored_name
from descend.data.reading.wide_copy import wide_copy

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NUMBERS = itertools.count()


@contextmanager
def copied(table: Table, path: Path | None, *, without: Collection[str] = ()) -> Iterator[Table]:
    """The same rows in DuckDB's format, which is read many times as fast as text.

    Of wide files they are in Arrow, see `in_arrow`; another wide table that is no text is not
    copied.

    Args:
        table: of any kind.
        path: a file that does not exist yet; None for memory. It is closed when the `with`
            ends.
        without: columns to leave empty.
    """
    held = in_arrow(table, path, without=without)
    if held is not None or (table.wide and not table.text_bytes):
        yield table if held is None else held
        return
    name = quote_name(f"{RESERVED}copied {next(_NUMBERS)}")
    relation, end = name, f"DROP TABLE IF EXISTS {name}"
    with table.named_errors():
        cursor = table.cursor()
        if path is not None:
            cursor.execute(f"ATTACH {quote_text(str(path))} AS {name}")
            relation, end = f"{name}.main.rows", f"DETACH {name}"
    try:
        _copy(table, cursor, relation, without)
        yield _stored(table, relation=relation, own=True, objects={})
    finally:
        table.instance.clear(end)


def _stored(table: Table, **changed: Any) -> Table:
    """The same rows, copied to where a change of the source says."""
    source = replace(table.source, csv=None, json=None, **changed)
    columns = tuple(
        one if one.stored is None and name == one.name else replace(one, stored=name)
        for one, name in ((one, stored_name(one.name)) for one in table.columns)
    )
    part = None if table.part is None else replace(table.part, relation=source.relation)
    return Table(source, table.instance, columns, part)


def in_arrow(table: Table, path: Path | None, *, without: Collection[str] = ()) -> Table | None:
    """The same rows in Arrow where the table is wide and they can be copied so, else None.

    Args:
        table: of any kind.
        path: a file that does not exist yet, which will hold them, with others whose names
            begin with its name; None for memory.
        without: columns to leave empty.
    """
    if not table.wide or table.held_rows is not None:
        return None
    part = table.part
    own = None if part is None or part.cut else (part.first, part.stop)
    used = [one for one in table.columns if one.name not in without]
    with table.named_errors():
        found = wide_copy(table.source, used, table.instance, path, own)
    if found is None:
        return None
    found = found.rename_columns([stored_name(one.name) for one in used])
    return _stored(table, relation="source", own=False, objects={"source": found})


def run_once(table: Table) -> Table:
    """The result of a wide query, kept in a temporary file; another table as it is.

    DuckDB takes the square of the columns to plan a query, so it should plan this one once.
    """
    source = table.source
    if source.query is None or source.spool is None or not table.wide:
        return table
    if source.urls or not has_room(sum(map(os.path.getsize, source.reads))):
        return table
    path = Path(source.spool.new("rows", table.name))
    return in_arrow(table, path) or table


def _copy(table: Table, cursor: DuckDBPyConnection, to: str, without: Collection[str]) -> None:
    names = [
        f"{one.sql} AS {quote_name(stored_name(one.name))}"
        for one in table.columns
        if one.name not in without
    ]
    listed = ", ".join(names) or "*"
    with table.named_errors():
        cursor.execute(
            f"CREATE OR REPLACE TABLE {to} AS SELECT {listed} FROM {table.relation}"
        ).fetchall()
