"""A table of any kind, read by DuckDB: its columns, aggregates, and rows in order."""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, final

import pyarrow as pa

from descend.data.reading.batch_size import BATCH_BYTES, VECTOR_ROWS, join_batches
from descend.data.reading.connection import Instance
from descend.data.reading.csv_files import CsvFiles
from descend.data.reading.errors import reading
from descend.data.reading.held_rows import HeldRows, NumberCells, listed_sql, whole_numbers
from descend.data.reading.narrow import NARROW, Build, Rows
from descend.data.reading.sharing import Part, Sharing
from descend.data.reading.source import Source
from descend.data.reading.sql import RESERVED, quote_name
from descend.data.reading.table_column import TableColumn, column_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ROW_NAME, _MARK_NAME = f"{RESERVED}row number", f"{RESERVED}marked row"
ROW = quote_name(_ROW_NAME)
"""SQL for the source row number, from 0, in `Table.rows`."""
MARK = quote_name(_MARK_NAME)
"""SQL for the condition of `Table.marked`, by row."""

_NUMBERS = itertools.count()
_FIXED = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DOUBLE|FLOAT|BOOLEAN|DATE|TIME)")

T = TypeVar("T")


@final
class Table:
    """A table that DuckDB reads and that is never held in Python's memory as a whole.

    Made by `open_table`. The rows are numbered from 0 in the order of the source, the same each
    time they are read.

    Attributes:
        name: in messages, as the user gave it.
        columns: in the order of the source.
        source: where the rows come from.
        instance: of DuckDB, which reads them.
        part: the rows that this process reads, of several; None: all.
        held_rows: the rows, if they are a wide table of Arrow.
    """

    def __init__(
        self,
        source: Source,
        instance: Instance,
        columns: tuple[TableColumn, ...] | None = None,
        part: Part | None = None,
    ) -> None:
        self.name = source.name
        self.source = source
        self.instance = instance
        self.part = part
        self.held_rows: HeldRows | None = None
        if columns is None:
            with self.named_errors():  # DESCRIBE takes the square of the columns.
                found = self.cursor().sql(f"SELECT * FROM {source.relation}")
                named = zip(found.columns, found.types, strict=True)
                unreadable = source.unreadable
                columns = tuple(
                    TableColumn(name, "other", unreadable[name])
                    if name in unreadable
                    else column_of(name, str(kind), two_widths=name in source.two_widths)
                    for name, kind in named
                )
        self.columns = columns
        self._by_name = {column.name: column for column in columns}
        held = source.objects.get("source") if source.relation == "source" else None
        if self.wide and isinstance(held, pa.Table):
            first = 0 if part is None else part.first
            if part is not None and part.picked:
                held = held.slice(first, part.stop - first)
            self.held_rows = HeldRows(held, _ROW_NAME, instance, first)
        if self.wide:
            instance.plan_wide()
        # Not through `self`: a table that is gone leaves nothing behind, at once.
        relation = self.relation
        if self.held_rows is not None:
            self._rows = Rows([column.sql for column in columns], lambda names: "source")
            return
        number = self._row_number if source.own else f"row_number() OVER () - 1{self._beyond_first}"
        self._rows = Rows(
            [column.sql for column in columns],
            lambda names: f"(SELECT {', '.join([*names, f'{number} AS {ROW}'])} FROM {relation})",
        )

    @property
    def relation(self) -> str:
        """SQL of the source, or of the rows of it that this process reads."""
        whole = self.source.relation
        return whole if self.part is None or self.held_rows is not None else self.part.of(whole)

    @property
    def _beyond_first(self) -> str:
        """SQL that is added to the number of a row of this relation, to number it in the source."""
        return f" + {self.part.first}" if self.part is not None and self.part.first else ""

    @property
    def _row_number(self) -> str:
        return f"rowid{self._beyond_first}"

    @property
    def rows(self) -> str:
        """The SQL relation with the columns and `ROW`."""
        return self._rows.text

    def encoded_bytes(self) -> int:
        """About how many bytes its rows take when they are encoded; 0 for rows in memory."""
        if self.source.objects and not self.source.reads:
            return 0
        if self.text_bytes:
            return self.text_bytes
        return 4 * self.count() * (len(self.columns) + 1)

    @property
    def sharing(self) -> Sharing | None:
        """With which processes this one shares the rows out; None where it reads all of them."""
        return None if self.part is None else self.part.sharing

    def merged(self, sql: str, merge: str) -> pa.Table:
        """The result of a query over the rows of all processes; every process calls it.

        Args:
            sql: a query over `self.rows`.
            merge: a query over `parts`, the results of `sql` in all processes one after another,
                whose result is that of `sql` over all rows. It is left out where this process
                reads all rows.
        """
        own = self.query(sql)
        if self.sharing is None:
            return own
        return self.merge_parts(pa.concat_tables(self.sharing.tables(own)), merge)

    def values(self, select: Sequence[str], *, where: str = "true") -> pa.Table:
        """The values of SQL expressions, in the rows of all processes; every process calls it.

        Args:
            select: expressions; they become columns "0", "1", ...
            where: an SQL condition on the rows.
        """
        held = self.held_rows
        if held is None:
            return self.joined(f"SELECT {listed_sql(select)} FROM {self.rows} WHERE {where}")
        chosen = None
        if where != "true":
            chosen = self.query(f"SELECT {where} FROM {self.rows}").column(0)
        with self.named_errors():
            own = held.values(select, chosen)
        return own if self.sharing is None else pa.concat_tables(self.sharing.tables(own))

    def joined(self, sql: str) -> pa.Table:
        """The results of a query in all processes, one after another; every process calls it."""
        own = self.query(sql)
        return own if self.sharing is None else pa.concat_tables(self.sharing.tables(own))

    def merge_parts(self, parts: pa.Table, merge: str) -> pa.Table:
        """The result of a query over `parts`, what several processes found in their rows."""
        cursor = self.instance.cursor()
        cursor.register("parts", parts)
        with self.named_errors():
            return self.instance.arrow(cursor, merge)

    @property
    def memory(self) -> int | None:
        """Bytes that may be used to read it; None: nobody set a bound."""
        return self.instance.memory

    @property
    def held(self) -> bool:
        """Whether its rows, at least one, are a table of Arrow from which queries get columns."""
        return self.held_rows is not None and self.held_rows.rows.num_rows > 0

    @property
    def wide(self) -> bool:
        """Whether the table has too many columns for one query to use all of them."""
        return len(self.columns) > NARROW

    def side_by_side(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """The results of tasks that query this table concurrently."""
        if self.sharing is not None:
            # The processes have to ask each other in the same order.
            return [task() for task in tasks]
        return self.instance.side_by_side(tasks)

    def in_row_order(self) -> AbstractContextManager[None]:
        """Inside the `with`, sums over `rows` are the same to the last bit every time."""
        return self.instance.one_thread()

    def column(self, name: str) -> TableColumn | None:
        """The column of that name, or None."""
        return self._by_name.get(name)

    def fingerprint(self) -> dict[str, Any]:
        """Identifies the content: columns, and files with sizes and times, or a hash."""
        columns = [[column.name, column.sql_type] for column in self.columns]
        return {"columns": columns, **self.source.fingerprint()}

    def count(self) -> int:
        """How many rows there are."""
        return int(self.aggregate({"rows": "count(*)"})["rows"])

    def aggregate(self, expressions: Mapping[str, str], *, where: str = "true") -> dict[str, Any]:
        """One row of aggregates.

        Args:
            expressions: SQL for each result's name.
            where: an SQL condition on the rows.
        """
        if not expressions:
            return {}
        select = ", ".join(f"{sql} AS {quote_name(key)}" for key, sql in expressions.items())
        sql = f"SELECT {select} FROM {self.relation_for(select + where)} WHERE {where}"
        row: dict[str, Any] = self.query(sql).to_pylist()[0]
        return row

    def relation_for(self, sql: str) -> str:
        """The SQL relation for expressions; rows are numbered only if these use their numbers."""
        return self.rows if ROW in sql or MARK in sql else self.relation

    def query(self, sql: str) -> pa.Table:
        """The result of an SQL query over `self.rows`, held in memory, so it should be small."""
        sql = self._filled(sql)
        with self.named_errors():
            return self.instance.arrow(self.cursor(sql), sql)

    @contextmanager
    def kept(self, *queries: str) -> Iterator[str]:
        """Inside the `with`, the name of a temporary table with the results of queries."""
        name = new_table_name()
        made = f"CREATE TABLE {name} AS"
        try:
            for query in map(self._filled, queries):
                sql = f"{made} {query}"
                with self.named_errors():
                    self.instance.run(self.cursor(query), _executed(sql))
                made = f"INSERT INTO {name}"
            yield name
        finally:
            self.instance.clear(f"DROP TABLE IF EXISTS {name}")

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about how the source was read, or how it is shared out."""
        spool = self.source.spool
        found = self.source.notes if self.part is None else (self.part.note,)
        found = (*(spool.notes if spool else ()), *found)
        return tuple(spool.told(note) if spool else note for note in found if note)

    @property
    def categorical(self) -> frozenset[str]:
        """The columns that the source declares as categories, even if they hold numbers."""
        return self.source.categorical

    @property
    def untyped(self) -> bool:
        """Whether it is CSV, which declares no types."""
        return self.source.untyped

    @property
    def text_bytes(self) -> int:
        """Bytes of the local text files (CSV, JSON) that are read; 0 for other sources.

        Of rows that are shared out, about those of this process, and at least 1 where it has none:
        all processes take the same steps with them.
        """
        part = self.part
        if part is not None and part.cut:
            return max(1, self.source.text_bytes)
        others = 1 if part is None else part.sharing.count
        return -(-self.source.text_bytes // others)

    @functools.cached_property
    def copy_bytes(self) -> int:
        """About how many bytes are copied so that it is read faster; 0 if that would not help.

        Of text, and of wide Parquet and Arrow files, whose columns are planned for each query.
        """
        if self.text_bytes or not self.wide or self.held_rows is not None or not self.source.reads:
            return self.text_bytes
        if self.source.query is not None:
            return 0
        rows = self.count() if self.part is None else self.part.stop - self.part.first
        return max(8 * rows * len(self.columns), sum(map(os.path.getsize, self.source.reads)))

    @contextmanager
    def marked(self, conditions: Sequence[str]) -> Iterator[Table]:
        """The same rows, with `MARK` true if all conditions hold; computed once if that is faster.

        Args:
            conditions: SQL, which may use `ROW`.
        """
        # Inside an AND, DuckDB would evaluate repeated parts of the conditions repeatedly.
        names = [quote_name(f"{RESERVED}condition {place}") for place in range(len(conditions))]
        listed = ", ".join(f"{sql} AS {name}" for sql, name in zip(conditions, names, strict=True))
        mark = f"{' AND '.join(names)} AS {MARK}"
        if self.held_rows is not None:
            marks = self.query(f"SELECT {mark} FROM (SELECT {listed} FROM {self.rows})").column(0)
            held = self.held_rows.rows.append_column(_MARK_NAME, marks)
            source = replace(self.source, objects={"source": held})
            part = self.part and replace(self.part, relation="source")
            yield Table(source, self.instance, self.columns, part)
            return
        if not self.source.own:

            def tested(columns: Sequence[str]) -> str:
                needed = dict.fromkeys([*columns, *self._rows.columns_of(listed)])
                inner = self._rows.build(["*"] if columns == ["*"] else list(needed))
                shown = ", ".join([*columns, *([] if columns == ["*"] else [ROW]), listed])
                rows = f"(SELECT {shown} FROM {inner})"
                if columns == ["*"]:
                    return f"(SELECT * EXCLUDE ({', '.join(names)}), {mark} FROM {rows})"
                return f"(SELECT {', '.join([*columns, ROW, mark])} FROM {rows})"

            yield self._with_rows(tested)
            return
        with self.kept(f"SELECT {mark} FROM (SELECT {listed} FROM {self.rows})") as marks:
            both = f"{self.relation} AS it POSITIONAL JOIN {marks} AS marks"
            yield self._with_rows(
                lambda columns: (
                    f"(SELECT {''.join(f'it.{name}, ' for name in columns)}"
                    f"it.{self._row_number} AS {ROW}, marks.{MARK} FROM {both})"
                )
            )

    def _with_rows(self, build: Build) -> Table:
        """The same table with another relation."""
        table = Table(self.source, self.instance, self.columns, self.part)
        table._rows = Rows([column.sql for column in self.columns], build)
        return table

    def batches(
        self,
        select: Sequence[str],
        *,
        rows: int = 65536,
        most_bytes: int = BATCH_BYTES,
        cells: Mapping[str, NumberCells] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Batches of rows in source order.

        Args:
            select: SQL expressions; they become columns "0", "1", ... of the batches.
            rows: most rows of a batch.
            most_bytes: most bytes of a batch, where a single row does not take more.
            cells: what some of the expressions are where all cells are simple numbers.

        Yields:
            Record batches; the last column, `row_number`, is int64 from 0.
        """
        start = 0 if self.part is None else self.part.first
        joined = " ".join(select)
        if (
            self.held_rows is not None
            and len(select) > self.held_rows.columns_at_once
            and ROW not in joined
        ):
            read = self._held_batches(self.held_rows, select, rows, most_bytes, cells or {})
        else:
            sql = f"SELECT {listed_sql(select)} FROM {self.relation_for(joined)}"
            read = self.stream(sql, rows=rows, most_bytes=most_bytes)
        for batch in read:
            count = batch.num_rows
            numbers = whole_numbers(start, count)
            arrays = [*batch.columns[: len(select)], numbers]
            names = [*(str(place) for place in range(len(select))), "row_number"]
            yield pa.RecordBatch.from_arrays(arrays, names)
            start += count

    def _held_batches(
        self,
        held: HeldRows,
        select: Sequence[str],
        rows: int,
        most_bytes: int,
        cells: Mapping[str, NumberCells],
    ) -> Iterator[pa.RecordBatch]:
        """As `batches`, without the row numbers, some columns at a time."""
        with self.named_errors():
            yield from held.batches(select, rows, most_bytes, cells)

    def stream(
        self, sql: str, *, rows: int = 65536, most_bytes: int = BATCH_BYTES
    ) -> Iterator[pa.RecordBatch]:
        """The result of an SQL query over `self.rows`, in batches of bounded rows and bytes.

        Args:
            sql: the query.
            rows: most rows of a batch.
            most_bytes: most bytes of a batch, where a single row does not take more.
        """
        sql = self._filled(sql)
        with self.named_errors():
            found = self.cursor(sql).sql(sql)
            # A cell of text may take any room: so batches of it are joined from small ones.
            fixed = all(_FIXED.match(str(kind)) for kind in found.types)
            small = found.to_arrow_reader(rows if fixed else min(rows, VECTOR_ROWS))
            yield from small if fixed else join_batches(small, rows, most_bytes)

    def reading(self, types: Mapping[str, str]) -> Table:
        """The same table with named columns of CSV files read as `number` or `text`.

        Other sources declare their types and are unchanged.
        """
        sql_types = {"number": "DOUBLE", "text": "VARCHAR"}
        changed = self.source.reading({name: sql_types[kind] for name, kind in types.items()})
        if changed is self.source:
            return self
        # Of CSV the types are known: DuckDB would look at every column to say the same.
        columns = None if changed.csv is None else csv_columns(changed.csv)
        return Table(changed, self.instance, columns, self.part)

    def _filled(self, sql: str) -> str:
        """SQL with the placeholder for the rows replaced; there is none while the table is made."""
        rows = getattr(self, "_rows", None)
        return sql if rows is None else rows.filled(sql)

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """Inside the `with`, errors use the names that the user knows."""
        naming = self.source.spool.naming() if self.source.spool else nullcontext()
        source = self.source
        files = (*source.files, *source.reads)
        with naming, reading(self.name, query=source.query is not None, files=files):
            yield

    def cursor(self, sql: str | None = None) -> DuckDBPyConnection:
        """A new connection for one query, so that several can be read at the same time.

        Args:
            sql: the query, if it names every column that it uses.
        """
        cursor = self.instance.cursor()
        for name, data in self.source.objects.items():
            if sql is not None and self.held_rows is not None:
                cursor.register(name, self.held_rows.used_by(sql))
            else:
                cursor.register(name, data)
        return cursor


def new_table_name() -> str:
    """SQL: the name of a temporary table that none has in this process."""
    return quote_name(f"{RESERVED}kept {next(_NUMBERS)}")


def _executed(sql: str) -> Callable[[DuckDBPyConnection], Any]:
    return lambda cursor: cursor.execute(sql).fetchall()


def csv_columns(csv: CsvFiles) -> tuple[TableColumn, ...]:
    """The columns of CSV files."""
    return tuple(column_of(name, csv.types[name]) for name in csv.names)
