"""DuckDB databases in memory, used again by later tables: making one takes as long as 40 queries.

A database serves one table at a time. The next table gets it only if nothing is left of the one
before, neither data nor a setting; otherwise it gets a new one.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NOT_TRUSTED = "statistics_propagation"
"""DuckDB's optimizer that is always off.

It folds conditions by the least and greatest value that a Parquet file states for a column, which
leave NaN out, so that `isnan` and `nullif(value, 'NaN')` became "never" (DuckDB 2.0).
"""
MOST_IDLE = 2
"""Databases that are kept for later tables."""
STATE = """
    SELECT current_setting('threads'), current_setting('memory_limit'),
        current_setting('disabled_optimizers'), current_setting('lock_configuration'),
        current_setting('enable_external_access'), current_setting('TimeZone'),
        (SELECT count(*) FROM duckdb_tables()),
        (SELECT count(*) FROM duckdb_views() WHERE NOT internal),
        (SELECT count(*) FROM duckdb_databases()),
        (SELECT count(*) FROM duckdb_external_file_cache())
"""
"""What must be as in a new database."""


class Database(NamedTuple):
    """A database in memory.

    Attributes:
        connection: to it.
        folder: for its temporary files.
        state: when it was made.
    """

    connection: DuckDBPyConnection
    folder: str
    state: tuple[Any, ...]


_idle: list[Database] = []
_of_the_parent: list[Database] = []
"""In a forked process: they are never closed, since their threads are those of the parent."""


def take_database() -> Database:
    """A database that is empty: it spills to temporary files and installs no extension."""
    import duckdb

    folder = os.path.join(tempfile.gettempdir(), f"descend-{os.getpid()}")
    with suppress(IndexError):  # None is left.
        while True:
            found = _idle.pop()
            with suppress(duckdb.Error):  # A fatal one has ended it.
                if found.folder == folder and _state_of(found.connection) == found.state:
                    return found
    connection = duckdb.connect(
        config={
            "allow_persistent_secrets": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "disabled_optimizers": NOT_TRUSTED,
            "preserve_insertion_order": "true",
            "python_enable_replacements": "false",
            "temp_directory": folder,
        }
    )
    connection.execute("LOAD icu").fetchall()
    # For every cursor; else times with a zone would mean what the machine's zone says.
    connection.execute("SET GLOBAL TimeZone = 'UTC'").fetchall()
    return Database(connection, folder, _state_of(connection))


def give_back(database: Database) -> None:
    """Keep a database, with which nobody works any more, for a later table."""
    if len(_idle) < MOST_IDLE:
        _idle.append(database)


def _state_of(connection: DuckDBPyConnection) -> tuple[Any, ...]:
    found = connection.cursor().execute(STATE).fetchone()
    assert found is not None
    return found


def _after_fork() -> None:
    _of_the_parent.extend(_idle)
    _idle.clear()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_idle.clear)
