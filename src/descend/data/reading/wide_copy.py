"""The rows of a wide table as a table of Arrow, of which a query gets the columns it uses."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from descend.data.reading.connection import Instance
from descend.data.reading.csv_files import CsvFiles
from descend.data.reading.csv_wide import PIECE_BYTES, is_wide, wide_text
from descend.data.reading.number_text import PLAIN
from descend.data.reading.sources import Source
from descend.data.reading.table_column import TableColumn
from descend.data.reading.wide_files import WideFiles

COLUMNS_AT_ONCE = 1024
"""Columns of a query. DuckDB keeps room for 2,048 rows of each, however few there are."""


def wide_copy(
    source: Source,
    columns: Sequence[TableColumn],
    instance: Instance,
    path: Path | None,
    part: tuple[int, int] | None,
) -> pa.Table | None:
    """Columns of wide CSV, Parquet or Arrow files, with the types that are known of them.

    Args:
        source: the files.
        columns: others are left out.
        instance: converts the cells of CSV files.
        path: a file that does not exist yet, which will hold them, with others whose names begin
            with its name; None for memory.
        part: the first row that is wanted and one past the last; None for all.

    Returns:
        None where Arrow does not read such files.

    Raises:
        duckdb.Error: a cell of a CSV file is not of the type of its column.
    """
    if not columns or source.query is not None:
        return None
    names = [one.name for one in columns]
    csv = source.csv
    try:
        if csv is not None:
            if not is_wide(csv.dialects):
                return None
            with closing(_csv_pieces(csv, names, instance, part)) as pieces:
                return _held(pieces, path)
        files = WideFiles.of(source)
        if files is None:
            return None
        room = _room(instance)
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
    try:
        return cells.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
