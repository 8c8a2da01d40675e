"""The rows of a wide CSV file as a table of Arrow, of which a query gets the columns it uses."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from descend.data.reading.connection import Instance
from descend.data.reading.csv_files import CsvFiles
from descend.data.reading.csv_wide import PIECE_BYTES, is_wide, wide_text
from descend.data.reading.number_text import PLAIN

COLUMNS_AT_ONCE = 1024
"""Columns of a query. DuckDB keeps room for 2,048 rows of each, however few there are."""


def wide_copy(
    csv: CsvFiles, names: Sequence[str], instance: Instance, path: Path | None
) -> pa.Table | None:
    """Columns of one wide CSV file, with the types that are known of them.

    Args:
        csv: the file.
        names: of the columns; others are left out.
        instance: converts the cells.
        path: a file that does not exist yet, which will hold them; None for memory.

    Returns:
        None where Arrow does not read such a file.

    Raises:
        duckdb.Error: a cell is not of the type of its column.
    """
    if not names or not is_wide(csv.paths, csv.dialects):
        return None
    try:
        with closing(_pieces(csv, names, instance)) as pieces:
            first = next(pieces, None)
            if first is None or path is None:
                return None if first is None else pa.concat_tables([first, *pieces])
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, first.schema) as writer:
                writer.write_table(first)
                for piece in pieces:
                    writer.write_table(piece)
    except pa.ArrowException:
        return None
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _pieces(
    csv: CsvFiles, names: Sequence[str], instance: Instance
) -> Generator[pa.Table, None, None]:
    """The columns, some rows at a time."""
    room = PIECE_BYTES if instance.memory is None else min(PIECE_BYTES, instance.memory // 16)
    for text in wide_text(csv.paths[0], csv.dialects[0], most_bytes=room):
        columns = dict(zip(names, text.select(names).columns, strict=True))
        typed = {name: _floats(csv, name, column) for name, column in columns.items()}
        others = [name for name, column in typed.items() if column is None]
        for start in range(0, len(others), COLUMNS_AT_ONCE):
            group = others[start : start + COLUMNS_AT_ONCE]
            cursor = instance.cursor()
            cursor.register("cells", text.select(group))
            listed = ", ".join(csv.typed_sql(name) for name in group)
            found = instance.arrow(cursor, f"SELECT {listed} FROM cells")
            typed |= dict(zip(group, found.columns, strict=True))
        yield pa.Table.from_arrays([typed[name] for name in names], list(names))


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
