"""A table of any kind, read by DuckDB: its columns, aggregates, and rows in order."""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, final

import pyarrow as pa

from descend.data.reading.batch_size import BATCH_BYTES, VECTOR_ROWS, join_batches
from descend.data.reading.connection import Instance, in_order
from descend.data.reading.csv_files import CsvFiles
from descend.data.reading.errors import MemoryShortError, check_names, reading
from descend.data.reading.formats import declared_categories
from descend.data.reading.frames import arrow_table, content_hash
from descend.data.reading.held_rows import HeldRows, NumberCells, listed_sql, whole_numbers
from descend.data.reading.narrow import NARROW, Build, Rows
from descend.data.reading.options import ReadingOptions
from descend.data.reading.sharing import FILE_ROW, Part, Sharing, parquet_part, share_out
from descend.data.reading.sources import Source, find_source
from descend.data.reading.spool import Spool, has_room
from descend.data.reading.sql import RESERVED, quote_name, quote_text
from descend.data.reading.table_column import TableColumn, column_of, stored_name
from descend.data.reading.text_shares import cut_text
from descend.data.reading.wide_copy import wide_copy
from descend.errors import DataError
from descend.io.secrets import without_secrets

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
C = TypeVar("C")


@final
class Table:
    """A table that DuckDB reads and that is never held in Python's memory as a whole.

    Made by `open_table`. The rows are numbered from 0 in the order of the source, the same each
    time they are read.

    Attributes:
        name: in messages, as the user gave it.
        columns: in the order of the source.
    """

    def __init__(
        self,
        source: Source,
        instance: Instance,
        columns: tuple[TableColumn, ...] | None = None,
        part: Part | None = None,
    ) -> None:
        self.name = source.name
        self._source = source
        self._instance = instance
        self._part = part
        self._held: HeldRows | None = None
        if columns is None:
            with self._reading():  # DESCRIBE takes the square of the columns.
                found = self._cursor().sql(f"SELECT * FROM {source.relation}")
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
            self._held = HeldRows(held, _ROW_NAME, instance, first)
        if self.wide:
            instance.plan_wide()
        # Not through `self`: a table that is gone leaves nothing behind, at once.
        relation = self._relation
        if self._held is not None:
            self._rows = Rows([column.sql for column in columns], lambda names: "source")
            return
        number = self._row_number if source.own else f"row_number() OVER () - 1{self._beyond_first}"
        self._rows = Rows(
            [column.sql for column in columns],
            lambda names: f"(SELECT {', '.join([*names, f'{number} AS {ROW}'])} FROM {relation})",
        )

    @property
    def _relation(self) -> str:
        """SQL of the source, or of the rows of it that this process reads."""
        whole = self._source.relation
        return whole if self._part is None or self._held is not None else self._part.of(whole)

    @property
    def _beyond_first(self) -> str:
        """SQL that is added to the number of a row of this relation, to number it in the source."""
        return f" + {self._part.first}" if self._part is not None and self._part.first else ""

    @property
    def _row_number(self) -> str:
        return f"rowid{self._beyond_first}"

    @property
    def rows(self) -> str:
        """The SQL relation with the columns and `ROW`."""
        return self._rows.text

    def encoded_bytes(self) -> int:
        """About how many bytes its rows take when they are encoded; 0 for rows in memory."""
        if self._source.objects and not self._source.reads:
            return 0
        if self.text_bytes:
            return self.text_bytes
        return 4 * self.count() * (len(self.columns) + 1)

    @property
    def sharing(self) -> Sharing | None:
        """With which processes this one shares the rows out; None where it reads all of them."""
        return None if self._part is None else self._part.sharing

    def shared_out(self, sharing: Sharing, beside: Path) -> Table:
        """The same table where this process reads only its share of the rows.

        The share is a contiguous range, and rows keep their numbers in the source. Of Parquet
        files only the row groups of the range are read, of text files the rows that begin in a
        range of bytes; of other sources every process reads all and keeps the range.

        Args:
            sharing: with the other processes; all of them call this.
            beside: the row store of the table; parts of text files are copied beside it.
        """
        reason = ""
        if self.text_bytes and self._source.query is None:
            cut, reason = cut_text(self._source, sharing, beside)
            if cut is not None:
                own = Table(cut, self._instance, self.columns)
                counts = [int(one) for one in sharing.gather(str(own.count()).encode())]
                first = sum(counts[: sharing.index])
                stop = first + counts[sharing.index]
                part = Part(sharing, first, stop, cut=True, note=self._note_of_shares())
                return Table(cut, self._instance, self.columns, part)
        files: list[tuple[str, int]] = []
        if self._source.parquet is not None and self.column(FILE_ROW) is None:
            listed = (
                f"SELECT file_name, num_rows FROM parquet_file_metadata({self._source.parquet})"
            )
            files = [(row["file_name"], row["num_rows"]) for row in self.query(listed).to_pylist()]
        rows = sum(count for _, count in files) if files else self.count()
        first, stop = share_out(rows, sharing.index, sharing.count)
        relation = None
        if files:
            relation = parquet_part(
                self._source.relation, files, first, stop, self._source.parquet_columns
            )
        note = self._note_of_shares(reason, whole=relation is None)
        part = Part(sharing, first, stop, relation, note=note)
        return Table(self._source, self._instance, self.columns, part)

    def _note_of_shares(self, reason: str = "", *, whole: bool = False) -> str:
        """What a process reads or fetches beyond its share, as a sentence; or an empty text.

        Args:
            reason: why text cannot be cut, or an empty text.
            whole: whether every process reads all rows, to keep those of its range.
        """
        if whole and (self._source.reads or not self._source.objects):
            began = f"{reason}: every" if reason else "Every"
            return f"{began} process reads all of {self.name}, and keeps a share of it."
        if self._source.hash is not None and not whole:
            return (
                f"Every process downloads all of {self.name}, and reads its share of the rows. Of "
                "Parquet each fetches its share alone, with DuckDB's extension httpfs."
            )
        return ""

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
        return self._merge(pa.concat_tables(self.sharing.tables(own)), merge)

    def values(self, select: Sequence[str], *, where: str = "true") -> pa.Table:
        """The values of SQL expressions, in the rows of all processes; every process calls it.

        Args:
            select: expressions; they become columns "0", "1", ...
            where: an SQL condition on the rows.
        """
        held = self._held
        if held is None:
            return self.joined(f"SELECT {listed_sql(select)} FROM {self.rows} WHERE {where}")
        chosen = None
        if where != "true":
            chosen = self.query(f"SELECT {where} FROM {self.rows}").column(0)
        with self._reading():
            own = held.values(select, chosen)
        return own if self.sharing is None else pa.concat_tables(self.sharing.tables(own))

    def joined(self, sql: str) -> pa.Table:
        """The results of a query in all processes, one after another; every process calls it."""
        own = self.query(sql)
        return own if self.sharing is None else pa.concat_tables(self.sharing.tables(own))

    def _merge(self, parts: pa.Table, merge: str) -> pa.Table:
        cursor = self._instance.cursor()
        cursor.register("parts", parts)
        with self._reading():
            return self._instance.arrow(cursor, merge)

    @contextmanager
    def kept_by_key(self, sql: Sequence[str], key: str, merge: str) -> Iterator[str]:
        """As `kept`, but of processes that share the rows each keeps the groups of some keys.

        So each holds about as many groups as if it alone had made them from its own rows.

        Args:
            sql: queries over `self.rows` that group them, whose results are joined.
            key: SQL of what tells the groups apart.
            merge: a query over `parts`, rows of `sql` from several processes, that joins groups of
                the same key.
        """
        sharing = self.sharing
        if sharing is None:
            with self.kept(*sql) as name:
                yield name
            return
        with self.kept(*sql) as mine:
            found: list[pa.Table] = []
            for index in range(sharing.count):
                bucket = f"SELECT * FROM {mine} WHERE hash({key}) % {sharing.count} = {index}"
                sent = sharing.tables(self.query(bucket))
                if index == sharing.index:
                    found = sent
        merged = self._merge(pa.concat_tables(found), merge)
        name = quote_name(f"{RESERVED}kept {next(_NUMBERS)}")
        cursor = self._instance.cursor()
        cursor.register("merged", merged)
        with self._reading():
            cursor.execute(f"CREATE TABLE {name} AS SELECT * FROM merged").fetchall()
        try:
            yield name
        finally:
            self._instance.clear(f"DROP TABLE {name}")

    def count_distinct(self, expression: str) -> int:
        """How many different values an SQL expression has in the rows of all processes."""
        if self.sharing is None:
            return int(self.aggregate({"distinct": f"count(DISTINCT {expression})"})["distinct"])
        values = f"SELECT DISTINCT {expression} AS value FROM {self._from(expression)}"
        joined = "SELECT DISTINCT value FROM parts WHERE value IS NOT NULL"
        with self.kept_by_key([values], "value", joined) as kept:
            found = self.joined(f"SELECT count(*) AS n FROM {kept}")
        return int(sum(found.column("n").to_pylist()))

    @property
    def memory(self) -> int | None:
        """Bytes that may be used to read it; None: nobody set a bound."""
        return self._instance.memory

    @property
    def held(self) -> bool:
        """Whether its rows, at least one, are a table of Arrow from which queries get columns."""
        return self._held is not None and self._held.rows.num_rows > 0

    @property
    def wide(self) -> bool:
        """Whether the table has too many columns for one query to use all of them."""
        return len(self.columns) > NARROW

    def side_by_side(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """The results of tasks that query this table concurrently."""
        if self.sharing is not None:
            # The processes have to ask each other in the same order.
            return [task() for task in tasks]
        return self._instance.side_by_side(tasks)

    def by_groups(
        self, groups: Sequence[Sequence[C]], survey: Callable[[Sequence[C]], T]
    ) -> list[T]:
        """What a survey finds in groups of columns, asked concurrently.

        Where the memory does not suffice for that, the groups that failed are asked one after the
        other, in halves and halves of these, down to a column.
        """
        if self.sharing is not None:
            return self.side_by_side([functools.partial(survey, group) for group in groups])

        def tried(group: Sequence[C]) -> T | None:
            try:
                return survey(group)
            except MemoryShortError:
                return None

        found = self.side_by_side([functools.partial(tried, group) for group in groups])
        done = [one for one in found if one is not None]
        left = [group for group, one in zip(groups, found, strict=True) if one is None]
        while left:
            group = left.pop()
            middle = len(group) // 2
            if middle == 0:
                done.append(survey(group))
            elif (one := tried(group[:middle])) is not None:
                done.append(one)
                left.append(group[middle:])
            else:
                left += [group[:middle], group[middle:]]
        return done

    def in_row_order(self) -> AbstractContextManager[None]:
        """Inside the `with`, sums over `rows` are the same to the last bit every time."""
        return self._instance.one_thread()

    def column(self, name: str) -> TableColumn | None:
        """The column of that name, or None."""
        return self._by_name.get(name)

    def fingerprint(self) -> dict[str, Any]:
        """Identifies the content: columns, and files with sizes and times, or a hash."""
        record: dict[str, Any] = {
            "columns": [[column.name, column.sql_type] for column in self.columns],
        }
        files = []
        for path in self._source.files:
            with reading(path):
                status = os.stat(path)
            files.append(
                {
                    "path": os.path.abspath(path),
                    "size": status.st_size,
                    "mtime_ns": status.st_mtime_ns,
                }
            )
        known, given = self._source.hash, self._source.objects.get("source")
        if known is None and not files and isinstance(given, pa.Table):
            known = content_hash(given)
        if files:
            record["files"] = files
        if known is not None:
            record["hash"] = known
        elif not files:
            record["name"] = self.name
        if self._source.parts:
            record["parts"] = list(self._source.parts)
        if self._source.query is not None:
            record["query"] = self._source.query
        return record

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
        sql = f"SELECT {select} FROM {self._from(select + where)} WHERE {where}"
        row: dict[str, Any] = self.query(sql).to_pylist()[0]
        return row

    def _from(self, sql: str) -> str:
        """The SQL relation; rows are numbered only if the SQL uses their numbers."""
        return self.rows if ROW in sql or MARK in sql else self._relation

    def query(self, sql: str) -> pa.Table:
        """The result of an SQL query over `self.rows`, held in memory, so it should be small."""
        sql = self._filled(sql)
        with self._reading():
            return self._instance.arrow(self._cursor(sql), sql)

    @contextmanager
    def kept(self, *queries: str) -> Iterator[str]:
        """Inside the `with`, the name of a temporary table with the results of queries."""
        name = quote_name(f"{RESERVED}kept {next(_NUMBERS)}")
        made = f"CREATE TABLE {name} AS"
        try:
            for query in map(self._filled, queries):
                sql = f"{made} {query}"
                with self._reading():
                    self._instance.run(self._cursor(query), _executed(sql))
                made = f"INSERT INTO {name}"
            yield name
        finally:
            self._instance.clear(f"DROP TABLE IF EXISTS {name}")

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about how the source was read, or how it is shared out."""
        spool = self._source.spool
        found = self._source.notes if self._part is None else (self._part.note,)
        found = (*(spool.notes if spool else ()), *found)
        return tuple(spool.told(note) if spool else note for note in found if note)

    @property
    def categorical(self) -> frozenset[str]:
        """The columns that the source declares as categories, even if they hold numbers."""
        return self._source.categorical

    @property
    def untyped(self) -> bool:
        """Whether it is CSV, which declares no types."""
        return self._source.untyped

    @property
    def text_bytes(self) -> int:
        """Bytes of the local text files (CSV, JSON) that are read; 0 for other sources.

        Of rows that are shared out, about those of this process, and at least 1 where it has none:
        all processes take the same steps with them.
        """
        part = self._part
        if part is not None and part.cut:
            return max(1, self._source.text_bytes)
        others = 1 if part is None else part.sharing.count
        return -(-self._source.text_bytes // others)

    @functools.cached_property
    def copy_bytes(self) -> int:
        """About how many bytes are copied so that it is read faster; 0 if that would not help.

        Of text, and of wide Parquet and Arrow files, whose columns are planned for each query.
        """
        if self.text_bytes or not self.wide or self._held is not None or not self._source.reads:
            return self.text_bytes
        if self._source.query is not None:
            return 0
        rows = self.count() if self._part is None else self._part.stop - self._part.first
        return max(8 * rows * len(self.columns), sum(map(os.path.getsize, self._source.reads)))

    @contextmanager
    def copied(self, path: Path | None, *, without: Collection[str] = ()) -> Iterator[Table]:
        """The same rows in DuckDB's format, which is read many times as fast as text.

        Of wide files they are in Arrow, see `in_arrow`; another wide table that is no text is not
        copied.

        Args:
            path: a file that does not exist yet; None for memory. It is closed when the `with`
                ends.
            without: columns to leave empty.
        """
        held = self.in_arrow(path, without=without)
        if held is not None or (self.wide and not self.text_bytes):
            yield self if held is None else held
            return
        name = quote_name(f"{RESERVED}copied {next(_NUMBERS)}")
        relation, end = name, f"DROP TABLE IF EXISTS {name}"
        with self._reading():
            cursor = self._cursor()
            if path is not None:
                cursor.execute(f"ATTACH {quote_text(str(path))} AS {name}")
                relation, end = f"{name}.main.rows", f"DETACH {name}"
        try:
            self._copy(cursor, relation, without)
            yield self._stored(relation=relation, own=True, objects={})
        finally:
            self._instance.clear(end)

    def _stored(self, **changed: Any) -> Table:
        """The same rows, copied to where a change of the source says."""
        source = replace(self._source, csv=None, json=None, **changed)
        columns = tuple(
            one if one.stored is None and name == one.name else replace(one, stored=name)
            for one, name in ((one, stored_name(one.name)) for one in self.columns)
        )
        part = None if self._part is None else replace(self._part, relation=source.relation)
        return Table(source, self._instance, columns, part)

    def in_arrow(self, path: Path | None, *, without: Collection[str] = ()) -> Table | None:
        """The same rows in Arrow where the table is wide and they can be copied so, else None.

        Args:
            path: a file that does not exist yet, which will hold them, with others whose names
                begin with its name; None for memory.
            without: columns to leave empty.
        """
        if not self.wide or self._held is not None:
            return None
        part = self._part
        own = None if part is None or part.cut else (part.first, part.stop)
        used = [one for one in self.columns if one.name not in without]
        with self._reading():
            found = wide_copy(self._source, used, self._instance, path, own)
        if found is None:
            return None
        found = found.rename_columns([stored_name(one.name) for one in used])
        return self._stored(relation="source", own=False, objects={"source": found})

    def run_once(self) -> Table:
        """The result of a wide query, kept in a temporary file; another table as it is.

        DuckDB takes the square of the columns to plan a query, so it should plan this one once.
        """
        source = self._source
        if source.query is None or source.spool is None or not self.wide:
            return self
        if source.urls or not has_room(sum(map(os.path.getsize, source.reads))):
            return self
        path = Path(source.spool.new("rows", self.name))
        return self.in_arrow(path) or self

    def _copy(self, cursor: DuckDBPyConnection, to: str, without: Collection[str]) -> None:
        names = [
            f"{one.sql} AS {quote_name(stored_name(one.name))}"
            for one in self.columns
            if one.name not in without
        ]
        listed = ", ".join(names) or "*"
        with self._reading():
            cursor.execute(
                f"CREATE OR REPLACE TABLE {to} AS SELECT {listed} FROM {self._relation}"
            ).fetchall()

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
        if self._held is not None:
            marks = self.query(f"SELECT {mark} FROM (SELECT {listed} FROM {self.rows})").column(0)
            held = self._held.rows.append_column(_MARK_NAME, marks)
            source = replace(self._source, objects={"source": held})
            part = self._part and replace(self._part, relation="source")
            yield Table(source, self._instance, self.columns, part)
            return
        if not self._source.own:

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
            both = f"{self._relation} AS it POSITIONAL JOIN {marks} AS marks"
            yield self._with_rows(
                lambda columns: (
                    f"(SELECT {''.join(f'it.{name}, ' for name in columns)}"
                    f"it.{self._row_number} AS {ROW}, marks.{MARK} FROM {both})"
                )
            )

    def _with_rows(self, build: Build) -> Table:
        """The same table with another relation."""
        table = Table(self._source, self._instance, self.columns, self._part)
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
        start = 0 if self._part is None else self._part.first
        joined = " ".join(select)
        if (
            self._held is not None
            and len(select) > self._held.columns_at_once
            and ROW not in joined
        ):
            read = self._held_batches(self._held, select, rows, most_bytes, cells or {})
        else:
            sql = f"SELECT {listed_sql(select)} FROM {self._from(joined)}"
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
        with self._reading():
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
        with self._reading():
            found = self._cursor(sql).sql(sql)
            # A cell of text may take any room: so batches of it are joined from small ones.
            fixed = all(_FIXED.match(str(kind)) for kind in found.types)
            small = found.to_arrow_reader(rows if fixed else min(rows, VECTOR_ROWS))
            yield from small if fixed else join_batches(small, rows, most_bytes)

    def reading(self, types: Mapping[str, str]) -> Table:
        """The same table with named columns of CSV files read as `number` or `text`.

        Other sources declare their types and are unchanged.
        """
        sql_types = {"number": "DOUBLE", "text": "VARCHAR"}
        changed = self._source.reading({name: sql_types[kind] for name, kind in types.items()})
        if changed is self._source:
            return self
        # Of CSV the types are known: DuckDB would look at every column to say the same.
        columns = None if changed.csv is None else _columns_of(changed.csv)
        return Table(changed, self._instance, columns, self._part)

    def _filled(self, sql: str) -> str:
        """SQL with the placeholder for the rows replaced; there is none while the table is made."""
        rows = getattr(self, "_rows", None)
        return sql if rows is None else rows.filled(sql)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Inside the `with`, errors use the names that the user knows."""
        naming = self._source.spool.naming() if self._source.spool else nullcontext()
        source = self._source
        files = (*source.files, *source.reads)
        with naming, reading(self.name, query=source.query is not None, files=files):
            yield

    def _cursor(self, sql: str | None = None) -> DuckDBPyConnection:
        """A new connection for one query, so that several can be read at the same time.

        Args:
            sql: the query, if it names every column that it uses.
        """
        cursor = self._instance.cursor()
        for name, data in self._source.objects.items():
            if sql is not None and self._held is not None:
                cursor.register(name, self._held.used_by(sql))
            else:
                cursor.register(name, data)
        return cursor


def _executed(sql: str) -> Callable[[DuckDBPyConnection], Any]:
    return lambda cursor: cursor.execute(sql).fetchall()


def open_table(
    data: Any, *, memory: int | None = None, options: ReadingOptions | None = None
) -> Table:
    """Open anything the user may call a table.

    Args:
        data: a path, a glob, a URL, an SQL query, a list of paths, a pandas, Polars or PyArrow
            table, or arrays `(X, y)`: their columns are then `x0`, `x1`, ... and `y`.
        memory: bytes that DuckDB may use; beyond them it writes to temporary files.
        options: how text files are written.

    Returns:
        A Table with at least one row.

    Raises:
        DataError: there is no such file, or it cannot be read as a table.

    Example:
        >>> import pyarrow as pa
        >>> open_table(pa.table({"size": [1.5, 2.5]})).count()
        2
    """
    instance = Instance(memory)
    spool = Spool()

    def run(sql: str) -> pa.Table:
        name = without_secrets(data) if isinstance(data, str) else "the files"
        with reading(name):
            return instance.cursor().sql(sql).to_arrow_table()

    if isinstance(data, str | os.PathLike) or _is_paths(data):
        with spool.naming():
            source = find_source(data, run, options or ReadingOptions(), spool)
    else:
        frame = arrow_table(data)
        declared = declared_categories([frame.schema])
        source = Source(
            "the table given", "source", objects={"source": frame}, categorical=declared
        )
    files = (*source.files, *source.reads)
    with reading(source.name, query=source.query is not None, files=files):
        for url in source.urls:
            instance.load_network(url)
        if source.query is not None:
            instance.lock(source.views, (*source.files, *source.reads), source.patterns)
    if source.query is not None:
        source = in_order(source, instance)
    csv = source.csv
    table = Table(source, instance, None if csv is None else _columns_of(csv))
    check_names(table.name, [column.name for column in table.columns])
    table = table.run_once()
    filled = table.held or (csv is not None and csv.filled)
    if not filled and table.query(f"SELECT 1 FROM {source.relation} LIMIT 1").num_rows == 0:
        header = " It has a header and nothing else." if source.csv else ""
        raise DataError(f"{table.name} has no rows.{header} Expected at least one row.")
    return table


def _columns_of(csv: CsvFiles) -> tuple[TableColumn, ...]:
    """The columns of CSV files."""
    return tuple(column_of(name, csv.types[name]) for name in csv.names)


def _is_paths(data: Any) -> bool:
    return isinstance(data, list) and all(isinstance(part, str | os.PathLike) for part in data)
