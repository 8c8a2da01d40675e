"""Wide Parquet and Arrow files, read by Arrow and not by DuckDB, some columns at a time.

DuckDB looks at every column of a file each time a query is planned, and keeps room for 2,048 rows
of each column that is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, final

import pyarrow as pa

from descend.data.reading.batch_size import join_batches
from descend.data.reading.frames import readable_type
from descend.data.reading.held_rows import cast_values, taken_type

if TYPE_CHECKING:
    from descend.data.reading.connection import Instance
    from descend.data.reading.source import Source

_SAMPLE_ROWS, _SAMPLE_COLUMNS = 16, 64
_LEAST_COLUMNS = 8
_PAGE_BYTES = 2 << 20
"""Room for a page of a column of a Parquet file and for its dictionary."""
MOST_ROWS = 65536
"""Rows of a piece."""


class _File(Protocol):
    """A file of columns."""

    schema: pa.Schema
    rows: int

    def opened_bytes(self, row_bytes: float) -> float:
        """Bytes of a column that are in memory while rows of `row_bytes` each are read."""
        ...

    def batches(
        self, names: Sequence[str], rows: int, first: int, stop: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Batches of at most `rows` rows, each with the number of its first row.

        Args:
            names: of the columns; others may be among them.
            rows: most rows of a batch.
            first: a row before which there need be none.
            stop: a row from which on there need be none.
        """
        ...


@final
class WideFiles:
    """Parquet or Arrow files with the same columns."""

    def __init__(self, files: Sequence[_File]) -> None:
        self._files = files

    @staticmethod
    def of(source: Source) -> WideFiles | None:
        """The files of a source, if they are such.

        Raises:
            pa.ArrowException: a file is damaged.
        """
        if not source.reads or source.json is not None or source.csv is not None:
            return None
        if source.parquet is not None:
            return WideFiles([_ParquetFile(path) for path in source.reads])
        return WideFiles([_ArrowFile(path) for path in source.reads])

    def types(
        self, names: Sequence[str], sql_types: Mapping[str, str], instance: Instance
    ) -> dict[str, pa.DataType] | None:
        """Arrow's type of each column; None unless DuckDB reads all of them as these SQL types."""
        found: dict[str, pa.DataType] = {}
        for file in self._files:
            for name in names:
                kind = file.schema.field(name).type
                # The values of a dictionary: another batch may have another one.
                kind = kind.value_type if pa.types.is_dictionary(kind) else kind
                kind = readable_type(taken_type(kind))
                if found.setdefault(name, kind) != kind:
                    return None
        sql_of = sql_types_of(found.values(), instance)
        same = all(sql_of[str(found[name])] == sql_types[name] for name in names)
        return found if same else None

    def groups(self, names: Sequence[str], room: int) -> Iterator[Sequence[str]]:
        """The columns in groups whose reading takes at most `room` bytes; a few at least."""
        some = names[:: -(-len(names) // _SAMPLE_COLUMNS)]
        column = 1.0
        for file in self._files:
            for _, batch in file.batches(some, _SAMPLE_ROWS, 0, file.rows):
                table = batch.select(list(some))
                row_bytes = table.nbytes / max(1, table.num_rows) / len(some)
                column = max(column, file.opened_bytes(row_bytes))
                break
        size = max(_LEAST_COLUMNS, int(room / column))
        for start in range(0, len(names), size):
            yield names[start : start + size]

    def pieces(
        self, schema: pa.Schema, room: int, part: tuple[int, int] | None
    ) -> Iterator[pa.Table]:
        """Columns, in pieces of some rows.

        Args:
            schema: of the columns.
            room: most bytes of a piece, where a single row does not take more.
            part: the first row that is wanted and one past the last; None for all.
        """
        begin, end = part if part is not None else (0, None)
        for batch in join_batches(self._rows(schema, room, begin, end), MOST_ROWS, room):
            yield pa.Table.from_batches([batch])

    def _rows(
        self, schema: pa.Schema, room: int, begin: int, end: int | None
    ) -> Iterator[pa.RecordBatch]:
        before = 0
        for file in self._files:
            first = max(0, begin - before)
            stop = file.rows if end is None else min(file.rows, end - before)
            before += file.rows
            if first >= stop:
                continue
            for start, batch in self._measured(file, schema, room, first, stop):
                low = max(0, first - start)
                high = min(batch.num_rows, stop - start)
                if low < high:
                    yield batch.slice(low, high - low)

    def _measured(
        self, file: _File, schema: pa.Schema, room: int, first: int, stop: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The batches of a file, of as many rows as the first rows let expect to take the room."""
        rows = _SAMPLE_ROWS
        for _, batch in file.batches(schema.names, _SAMPLE_ROWS, first, stop):
            size = _cast(batch, schema).nbytes / max(1, batch.num_rows)
            rows = max(1, min(MOST_ROWS, int(room / max(1.0, size))))
            break
        for start, batch in file.batches(schema.names, rows, first, stop):
            yield start, _cast(batch, schema)


def sql_types_of(kinds: Iterable[pa.DataType], instance: Instance) -> dict[str, str]:
    """The SQL type as which DuckDB reads each of Arrow's types, by the name of that type."""
    named = {str(kind): kind for kind in kinds}
    cursor = instance.cursor()
    cursor.register("none", pa.table({key: pa.array([], kind) for key, kind in named.items()}))
    read = cursor.sql("SELECT * FROM none")
    return dict(zip(read.columns, map(str, read.types), strict=True))


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        cast_values(batch.column(name), kind)
        for name, kind in zip(schema.names, schema.types, strict=True)
    ]
    found = pa.RecordBatch.from_arrays(columns, schema=schema)
    found.validate(full=True)
    return found


@final
class _ParquetFile:
    """A Parquet file.

    Attributes:
        schema: of its columns.
        rows: how many there are.
    """

    def __init__(self, path: str) -> None:
        from pyarrow import parquet

        # Mapped, its compressed pages are no memory of the process.
        self._file = parquet.ParquetFile(path, memory_map=True)
        self.schema: pa.Schema = self._file.schema_arrow
        self.rows: int = self._file.metadata.num_rows

    def opened_bytes(self, row_bytes: float) -> float:
        """See `_File`."""
        metadata = self._file.metadata
        longest = max(
            (metadata.row_group(one).num_rows for one in range(metadata.num_row_groups)), default=0
        )
        return min(_PAGE_BYTES, longest * row_bytes)

    def batches(
        self, names: Sequence[str], rows: int, first: int, stop: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """See `_File`."""
        metadata = self._file.metadata
        start = 0
        for group in range(metadata.num_row_groups):
            count = metadata.row_group(group).num_rows
            if start + count > first and start < stop:
                place = start
                for batch in self._file.iter_batches(
                    batch_size=rows, row_groups=[group], columns=list(names), use_threads=False
                ):
                    yield place, batch
                    place += batch.num_rows
            start += count


@final
class _ArrowFile:
    """An Arrow file.

    Attributes:
        schema: of its columns.
        rows: how many there are.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        with pa.memory_map(path) as stream:
            self.schema: pa.Schema = pa.ipc.open_file(stream).schema
            file = pa.ipc.open_file(stream, options=_only([0]))
            counts = [file.get_batch(one).num_rows for one in range(file.num_record_batches)]
        self.rows = sum(counts)
        self._longest = max(counts, default=0)

    def opened_bytes(self, row_bytes: float) -> float:
        """See `_File`."""
        return self._longest * row_bytes

    def batches(
        self, names: Sequence[str], rows: int, first: int, stop: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """See `_File`."""
        places = {name: place for place, name in enumerate(self.schema.names)}
        start = 0
        with pa.memory_map(self._path) as stream:
            file = pa.ipc.open_file(stream, options=_only([places[name] for name in names]))
            for number in range(file.num_record_batches):
                if start >= stop:
                    return
                whole = file.get_batch(number)
                if start + whole.num_rows > first:
                    for place in range(0, whole.num_rows, rows):
                        yield start + place, whole.slice(place, rows)
                start += whole.num_rows


def _only(places: Sequence[int]) -> pa.ipc.IpcReadOptions:
    return pa.ipc.IpcReadOptions(included_fields=list(places), use_threads=False)
