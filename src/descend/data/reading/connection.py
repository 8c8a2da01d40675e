"""A DuckDB instance that only reads: several queries at once, rows in a fixed order."""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, final

import pyarrow as pa

from descend.data.reading.duckdb_instances import NOT_TRUSTED, give_back, take_database
from descend.data.reading.errors import check_names, reading
from descend.data.reading.source import Source
from descend.data.reading.sql import RESERVED, escaped_path, quote_name, text_list
from descend.data.reading.table_column import stored_name

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

T = TypeVar("T")

_IN_ORDER = {"PROJECTION", "FILTER", "STREAMING_LIMIT", "LIMIT", "UNION", "DUMMY_SCAN"}


ROWS_AT_ONCE = 1 << 20
"""Rows of a batch of a small result."""


@final
class Instance:
    """A DuckDB database in memory, which spills to temporary files and installs no extension.

    Attributes:
        memory: bytes that it may use; None: DuckDB's default.
    """

    def __init__(self, memory: int | None) -> None:
        self.memory = memory
        database = take_database()
        self._connection = database.connection
        self._running: set[DuckDBPyConnection] = set()
        self._for_later = weakref.finalize(self, give_back, database)
        self._for_later.atexit = False
        if memory is not None:
            self._change(f"memory_limit = '{memory} bytes'")

    def cursor(self) -> DuckDBPyConnection:
        """A new connection, so that several results can be read at the same time."""
        return self._connection.cursor()

    def run(self, cursor: DuckDBPyConnection, work: Callable[[DuckDBPyConnection], T]) -> T:
        """Run work with a cursor, which `side_by_side` may interrupt."""
        self._running.add(cursor)
        try:
            return work(cursor)
        finally:
            self._running.discard(cursor)

    def arrow(self, cursor: DuckDBPyConnection, sql: str) -> pa.Table:
        """The small result of a query, which `side_by_side` may interrupt."""
        return self.run(cursor, lambda it: _small_result(it, sql))

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Inside the `with`, queries run on one thread and process the rows in order.

        The last bits of a sum of floats depend on the order of summation.
        """
        self._set("threads = 1")
        try:
            yield
        finally:
            self.clear("RESET threads")

    def clear(self, sql: str) -> None:
        """Undo what a query needed; after a fatal error of DuckDB there is nothing left to undo."""
        import duckdb

        with suppress(duckdb.Error):
            self.cursor().execute(sql).fetchall()

    def side_by_side(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """The results of tasks that run concurrently; an error or Ctrl-C interrupts them all."""
        if len(tasks) == 1:
            return [tasks[0]()]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            futures = [pool.submit(task) for task in tasks]
            try:
                return [future.result() for future in futures]
            except BaseException:
                for future in futures:
                    future.cancel()
                # A task may be between two queries and start another, so interrupt again.
                while wait(futures, timeout=0.02).not_done:
                    for cursor in tuple(self._running):
                        cursor.interrupt()
                raise

    def plan_wide(self) -> None:
        """Plan the queries of a wide table without what takes the square of its columns."""
        self._change(f"disabled_optimizers = 'common_subexpressions,{NOT_TRUSTED}'")

    def load_network(self, url: str) -> None:
        """Load the extension that DuckDB needs for a URL; raises its error if that is missing."""
        self._for_later.detach()
        azure = url.lower().startswith(("az:", "azure:", "abfs:", "abfss:"))
        self.cursor().execute(f"LOAD {'azure' if azure else 'httpfs'}").fetchall()

    def lock(
        self, views: Mapping[str, str], files: Sequence[str], patterns: Sequence[str] = ()
    ) -> None:
        """From now on, allow only reading the files named here.

        Writing, attaching, loading, changing settings and reading other files are refused.

        Args:
            views: the SQL relation for each name that a query may use.
            files: local files that may be read.
            patterns: globs and URLs that may be read.
        """
        self._for_later.detach()
        for name, relation in views.items():
            self.cursor().execute(
                f"CREATE VIEW {quote_name(name)} AS SELECT * FROM {relation}"
            ).fetchall()
        self._set("allowed_configs = ['threads', 'disabled_optimizers']")
        # Listing what a pattern matches needs permission too.
        named = [*files, *(escaped_path(path) for path in files), *patterns]
        self._set(f"allowed_paths = {text_list([*dict.fromkeys(named)])}")
        self._set("enable_external_access = false")
        self._set("lock_configuration = true")

    def _change(self, what: str) -> None:
        """Set what stays set: the database is for no other table."""
        self._for_later.detach()
        self._set(what)

    def _set(self, what: str) -> None:
        self.cursor().execute(f"SET {what}").fetchall()


def _small_result(cursor: DuckDBPyConnection, sql: str) -> pa.Table:
    """The result of a query, copied once more, which costs nothing where it is small.

    `sql` would plan the query twice, and planning is most of the time that a small table takes. The
    public way to the same, `to_arrow_table`, warns of the copy.
    """
    if not hasattr(cursor, "_result_as_arrow"):
        return cursor.sql(sql).to_arrow_table()
    return cursor.execute(sql)._result_as_arrow(ROWS_AT_ONCE, reader=False)


def in_order(source: Source, instance: Instance) -> Source:
    """The query itself if its rows keep the order of its files; else a copy of its result.

    Joins, groups and sorts with ties give another order each time they run on several cores, and
    random functions other values. So they run on one, with the same random numbers each time, and
    a hash of the copy tells where the next run has other rows all the same.
    """
    assert source.query is not None
    with reading(source.name, query=True, files=(*source.files, *source.reads)):
        cursor = instance.cursor()
        for name, data in source.objects.items():
            cursor.register(name, data)
        names = list(cursor.sql(source.query).columns)
        check_names(source.name, names)
        plan = cursor.sql(f"EXPLAIN (FORMAT json) {source.query}").fetchall()[0][1]
        operators = set(re.findall(r'"name": "([^"]*)"', plan))
        steady = all(name in _IN_ORDER or "SCAN" in name or "READ_" in name for name in operators)
        if steady and not re.search(
            r"random|uuid|now\(|current_|today|nextval", plan, re.IGNORECASE
        ):
            return source
        result = quote_name(f"{RESERVED}result")
        columns = ", ".join(f"{quote_name(one)} AS {quote_name(stored_name(one))}" for one in names)
        with instance.one_thread():
            cursor.execute("SELECT setseed(0)").fetchall()
            cursor.execute(
                f"CREATE TABLE {result} AS SELECT {columns} FROM {source.relation}"
            ).fetchall()
        row = quote_name(f"{RESERVED}row")
        # DuckDB joins hashes by XOR: without the outer hash any order would have the same.
        hashed = f"SELECT count(*), bit_xor(hash(hash(rowid, {row}))) FROM {result} AS {row}"
        count, content = cursor.execute(hashed).fetchall()[0]
    known = [] if source.hash is None else [source.hash]
    own = f"{count} rows {content or 0:016x}"
    return replace(source, relation=result, own=True, hash=" ".join([*known, own]))
