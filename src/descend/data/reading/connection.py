"""A DuckDB instance: several queries at once, rows in their order, and nothing but reading."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, final

from descend.data.reading.errors import check_names, reading
from descend.data.reading.sources import Source
from descend.data.reading.sql import RESERVED, escaped_path, quote_name, text_list
from descend.data.reading.table_column import stored_name

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

T = TypeVar("T")

_IN_ORDER = {"PROJECTION", "FILTER", "STREAMING_LIMIT", "LIMIT", "UNION", "DUMMY_SCAN"}


@final
class Instance:
    """One DuckDB database in memory, which spills to temporary files and installs no extension.

    Args:
        memory: bytes that it may use; None: what DuckDB takes by itself.
    """

    def __init__(self, memory: int | None) -> None:
        import duckdb

        self._connection = duckdb.connect(
            config={
                "allow_persistent_secrets": "false",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "preserve_insertion_order": "true",
                "python_enable_replacements": "false",
                "temp_directory": os.path.join(tempfile.gettempdir(), f"descend-{os.getpid()}"),
            }
        )
        self._connection.execute("LOAD icu").fetchall()
        self._set("TimeZone = 'UTC'")
        self._running: set[DuckDBPyConnection] = set()
        if memory is not None:
            self._set(f"memory_limit = '{memory} bytes'")

    def cursor(self) -> DuckDBPyConnection:
        """A connection of its own, so that several queries can be read side by side."""
        return self._connection.cursor()

    def run(self, cursor: DuckDBPyConnection, work: Callable[[DuckDBPyConnection], T]) -> T:
        """Work with a cursor; `side_by_side` may interrupt it."""
        self._running.add(cursor)
        try:
            return work(cursor)
        finally:
            self._running.discard(cursor)

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Inside the `with`, queries run on one thread and take the rows in their order.

        Sums of numbers with decimals depend on their order in the last bits.
        """
        self._set("threads = 1")
        try:
            yield
        finally:
            self.cursor().execute("RESET threads").fetchall()

    def side_by_side(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """The results of several tasks, run at once; an error or Ctrl-C interrupts the others."""
        if len(tasks) == 1:
            return [tasks[0]()]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            futures = [pool.submit(task) for task in tasks]
            try:
                return [future.result() for future in futures]
            except BaseException:
                for future in futures:
                    future.cancel()
                # A task may be between two queries, and begin another.
                while wait(futures, timeout=0.02).not_done:
                    for cursor in tuple(self._running):
                        cursor.interrupt()
                raise

    def load_network(self, url: str) -> None:
        """Load what DuckDB needs to read an address; raises its error where that is not there."""
        azure = url.lower().startswith(("az:", "azure:", "abfs:", "abfss:"))
        self.cursor().execute(f"LOAD {'azure' if azure else 'httpfs'}").fetchall()

    def lock(
        self, views: Mapping[str, str], files: Sequence[str], patterns: Sequence[str] = ()
    ) -> None:
        """From now on, allow nothing but reading some files.

        Nothing is written, attached or loaded, no other file is read, no setting changed.

        Args:
            views: what stands after FROM for each name that a query may use.
            files: local files that may be read.
            patterns: globs and addresses that may be read.
        """
        for name, relation in views.items():
            self.cursor().execute(
                f"CREATE VIEW {quote_name(name)} AS SELECT * FROM {relation}"
            ).fetchall()
        self._set("allowed_configs = ['threads']")
        # To list what a pattern matches is an access of its own.
        named = [*files, *(escaped_path(path) for path in files), *patterns]
        self._set(f"allowed_paths = {text_list([*dict.fromkeys(named)])}")
        self._set("enable_external_access = false")
        self._set("lock_configuration = true")

    def _set(self, what: str) -> None:
        self.cursor().execute(f"SET {what}").fetchall()


def in_order(source: Source, instance: Instance) -> Source:
    """The query itself where its rows come in the order of its files, else a copy of its result.

    Joins, groups and sorts with ties may give another order each time they run, and random
    functions other values; row numbers would then mean nothing.
    """
    assert source.query is not None
    with reading(source.name, query=True):
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
        cursor.execute(
            f"CREATE TABLE {result} AS SELECT {columns} FROM {source.relation}"
        ).fetchall()
    return replace(source, relation=result, own=True)
