"""The first cells of a wide CSV file, looked at without DuckDB.

DuckDB takes a fraction of a millisecond for each column of a query that reads CSV, and more than
in proportion to their number: 50,000 columns are half a minute before a cell was looked at.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from descend.data.reading.csv_dialect import Dialect
from descend.data.reading.csv_text import open_text
from descend.data.reading.missing import NULLS
from descend.data.reading.narrow import NARROW
from descend.data.reading.number_text import PLAIN
from descend.data.reading.numpy_arrays import as_numpy

CellsFound = dict[str, tuple[bool, tuple[str, ...]]]
"""By the name of a column that holds a value: whether all its values are plain numbers, and which
texts for missing it has."""

THOUSANDS = r"[-+]?[1-9][0-9]{0,2}[.][0-9]{3}"
"""Numbers whose point may also separate thousands."""


def wide_first_cells(
    paths: Sequence[str], dialects: Sequence[Dialect], rows: int
) -> tuple[CellsFound, bool] | None:
    """What the first rows of one wide file hold, and whether there are more rows.

    Args:
        paths: of the files.
        dialects: of each file.
        rows: most rows to look at.

    Returns:
        None for a narrow file and for several files, and where a row is not as wide as the header:
        DuckDB then looks at the cells, and says what is wrong.
    """
    dialect = dialects[0]
    if len(paths) > 1 or len(dialect.names) <= NARROW or len(dialect.delimiter) > 1:
        return None
    read = _first_rows(paths[0], dialect, rows + 1)
    if not read or any(len(row) != len(dialect.names) for row in read):
        return None
    return _survey(dialect.names, pa.concat_arrays(read[:rows])), len(read) > rows


def _first_rows(path: str, dialect: Dialect, rows: int) -> list[pa.Array]:
    """The cells of each of the first rows; none where they cannot be parsed."""
    apart = dialect.escape != dialect.quote
    with open_text(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        try:
            for _ in range(dialect.skip):
                text.readline()
            reader = csv.reader(
                text,
                delimiter=dialect.delimiter,
                quotechar=dialect.quote,
                doublequote=not apart,
                escapechar=dialect.escape if apart else None,
                strict=True,
            )
            if dialect.header:
                next(reader, None)
            # A list of millions of Python's texts would take ten times the room.
            return [pa.array(row, pa.string()) for row in itertools.islice(reader, rows)]
        except (csv.Error, UnicodeDecodeError):
            return []


def _survey(names: Sequence[str], cells: pa.Array) -> CellsFound:
    """What columns hold whose cells stand in a list, row after row."""
    width = len(names)

    def of_all(flags: pa.Array) -> Any:
        return np.asarray(as_numpy(flags), dtype=bool).reshape(-1, width)

    empty = of_all(pc.equal(cells, pa.scalar("")))
    missing = of_all(pc.is_in(cells, pa.array([null for null in NULLS if null]))) & ~empty
    none = empty | missing
    number = of_all(pc.match_substring_regex(cells, f"^(?:{PLAIN})$"))
    pointed = of_all(pc.match_substring(cells, ".")) & ~none
    thousands = of_all(pc.match_substring_regex(cells, f"^(?:{THOUSANDS})$"))
    grouped = pointed.any(axis=0) & (~pointed | thousands | none).all(axis=0)
    numbers = (number | none).all(axis=0) & ~grouped
    found: CellsFound = {}
    for place in np.flatnonzero(~none.all(axis=0)).tolist():
        marked = np.flatnonzero(missing[:, place]).tolist()
        words = {cells[row * width + place].as_py() for row in marked}
        found[names[place]] = (bool(numbers[place]), tuple(sorted(words)))
    return found
