"""The rows of a wide table as a table of Arrow, of which a query gets the columns it uses."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from descend.data.reading.batch_size import VECTOR_ROWS, join_batches
from descend.data.reading.connection import Instance
from descend.data.reading.csv_files import CsvFiles
from descend.data.reading.csv_wide import PIECE_BYTES, is_wide, wide_text
from descend.data.reading.narrow import COLUMNS_AT_ONCE
from descend.data.reading.number_text import PLAIN
from descend.data.reading.source import Source
from descend.data.reading.table_column import TableColumn
from descend.data.reading.wide_files import MOST_ROWS, WideFiles, sql_types_of

_COLUMN_BYTES = 1 << 16
"""What DuckDB holds of a column while it hands rows on, however few there are."""
_MOST_AT_ONCE = 8192
"""Columns of JSON, which DuckDB finds in the text anew for each group of columns."""


def wide_copy(
    source: Source,
    columns: Sequence[TableColumn],
    instance: Instance,
    path: Path | None,
    part: tuple[int, int] | None,
) -> pa.Table | None:
    """Columns of wide files or of a query, with the types that are known of them.

    Args:
        source: the files, or the query.
        columns: others are left out.
        instance: converts the cells of CSV files.
        path: a file that does not exist yet, which will hold them, with others whose names begin
            with its name; None for memory.
        part: the first row that is wanted and one past the last; None for all.

    Returns:
        None where Arrow does not read such files.

    Raises:
        duckdb.Error: a cell of a text file is not of the type of its column.
    """
    if not columns:
        return None
    names = [one.name for one in columns]
    csv = source.csv
    try:
        if csv is not None:
            if not is_wide(csv.dialects):
                return None
            with closing(_csv_pieces(csv, names, instance, part)) as pieces:
                return _held(pieces, path)
        room = _room(instance)
        if source.query is not None or source.json is not None:
            return _queried(source, columns, instance, path, part)
        files = WideFiles.of(source)
        if files is None:
            return None
        types = files.types(names, {one.name: one.sql_type for one in columns}, instance)
        if types is None:
            return None
        held: list[pa.ChunkedArray] = []
        for number, group in enumerate(files.groups(names, 4 * room)):
            schema = pa.schema([(name, types[name]) for name in group])
            to = None if path is None else path.with_name(f"{path.name}.{number}")
            found = _held(files.pieces(schema, room, part), to)
            if found is None:
                return None
            held += found.columns
    except (pa.ArrowException, OSError):
        return None
    return pa.Table.from_arrays(held, names)


def _queried(
    source: Source,
    columns: Sequence[TableColumn],
    instance: Instance,
    path: Path | None,
    part: tuple[int, int] | None,
) -> pa.Table | None:
    """Columns of JSON or of a query, read by DuckDB once; None where Arrow lacks their types."""
    size = len(columns) if source.json is None else _MOST_AT_ONCE
    if instance.memory is not None:
        size = min(size, max(1, instance.memory // _COLUMN_BYTES))
    held: list[pa.ChunkedArray] = []
    for start in range(0, len(columns), size):
        group = columns[start : start + size]
        relation = source.relation
        if source.json is not None:
            types = source.json.types
            some = {one.name: types[one.name] for one in group}
            relation = replace(source.json, types=some).relation()
        listed = ", ".join(f'{one.sql} AS "{place}"' for place, one in enumerate(group))
        cursor = instance.cursor()
        for name, data in source.objects.items():
            cursor.register(name, data)
        found = cursor.sql(f"SELECT {listed} FROM {relation}").to_arrow_reader(VECTOR_ROWS)
        known = sql_types_of(found.schema.types, instance)
        plain = [
            (one.sql_type, known[str(kind)])
            for one, kind in zip(group, found.schema.types, strict=True)
            if one.type != "other"
        ]
        if any(before != after for before, after in plain):
            return None
        batches = join_batches(_chosen(found, part), MOST_ROWS, _room(instance))
        to = None if path is None else path.with_name(f"{path.name}.{start}")
        copy = _held((pa.Table.from_batches([batch]) for batch in batches), to)
        if copy is None:
            return None
        held += copy.columns
    return pa.Table.from_arrays(held, [one.name for one in columns])


def _chosen(
    batches: Iterable[pa.RecordBatch], part: tuple[int, int] | None
) -> Iterator[pa.RecordBatch]:
    """The rows of a part."""
    start = 0
    for batch in batches:
        first, stop = part or (0, start + batch.num_rows)
        low, high = max(0, first - start), min(batch.num_rows, stop - start)
        start += batch.num_rows
        if low < high:
            yield batch.slice(low, high - low)


def _room(instance: Instance) -> int:
    """Bytes of a piece of rows."""
    return PIECE_BYTES if instance.memory is None else min(PIECE_BYTES, instance.memory // 16)


def _held(pieces: Iterator[pa.Table], path: Path | None) -> pa.Table | None:
    """Pieces of rows as one table, in a file that is mapped if one is named; None for no rows."""
    first = next(pieces, None)
    if first is None or path is None:
        return None if first is None else pa.concat_tables([first, *pieces])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, first.schema) as writer:
        writer.write_table(first)
        for piece in pieces:
            writer.write_table(piece)
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _csv_pieces(
    csv: CsvFiles, names: Sequence[str], instance: Instance, part: tuple[int, int] | None
) -> Generator[pa.Table, None, None]:
    """The columns, some rows at a time."""
    first, stop = part or (0, None)
    start = 0
    for path, dialect in zip(csv.paths, csv.dialects, strict=True):
        with closing(wide_text(path, dialect, most_bytes=_room(instance))) as texts:
            for text in texts:
                low = max(0, first - start)
                high = text.num_rows if stop is None else min(text.num_rows, stop - start)
                start += text.num_rows
                if low < high:
                    yield _typed(csv, text.slice(low, high - low).select(list(names)), instance)


def _typed(csv: CsvFiles, text: pa.Table, instance: Instance) -> pa.Table:
    """Cells of text with the types of their columns."""
    names = text.column_names
    typed = {name: _floats(csv, name, text.column(name)) for name in names}
    others = [name for name, column in typed.items() if column is None]
    for start in range(0, len(others), COLUMNS_AT_ONCE):
        group = others[start : start + COLUMNS_AT_ONCE]
        cursor = instance.cursor()
        cursor.register("cells", text.select(group))
        listed = ", ".join(csv.typed_sql(name) for name in group)
        found = instance.arrow(cursor, f"SELECT {listed} FROM cells")
        typed |= dict(zip(group, found.columns, strict=True))
    return pa.Table.from_arrays([typed[name] for name in names], names)


def _floats(csv: CsvFiles, name: str, cells: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """A column whose cells are all plain numbers, or text; None for DuckDB to convert."""
    if csv.types[name] == "VARCHAR":
        return cells
    if csv.words.get(name):
        return None
    # Cells that were not looked at may be codes such as 007, which DuckDB refuses here.
    if csv.longer and not pc.all(pc.match_substring_regex(cells, f"^(?:{PLAIN})$")).as_py():
        return None
    if csv.longer and name in csv.whole and pc.any(pc.match_substring(cells, ".")).as_py():
        return None
    try:
        return cells.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
