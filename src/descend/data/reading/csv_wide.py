"""Wide CSV files, read by Arrow and not by DuckDB.

DuckDB takes a fraction of a millisecond for each column of a query that reads CSV, and more than
in proportion to their number: 50,000 columns are half a minute before a cell was looked at. It
also keeps 16 KiB for each column of a table of its own, however few the rows are.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from descend.data.reading.csv_dialect import Dialect
from descend.data.reading.csv_text import open_text
from descend.data.reading.missing import NULLS
from descend.data.reading.narrow import NARROW
from descend.data.reading.number_text import PLAIN
from descend.data.reading.numpy_arrays import as_numpy

CellsFound = dict[str, tuple[bool, tuple[str, ...], bool]]
"""By the name of a column that holds a value: whether all its values are plain numbers, and which
texts for missing it has."""

THOUSANDS = r"[-+]?[1-9][0-9]{0,2}[.][0-9]{3}"
"""Numbers whose point may also separate thousands."""

PIECE_BYTES = 32 << 20
"""Bytes of text that are parsed at a time, where a line is not longer."""
_COLUMNS_AT_ONCE = 4096
_LOOKED_AT = 1 << 20


def is_wide(dialects: Sequence[Dialect]) -> bool:
    """Whether Arrow may read these files: they are wide, with delimiters of one byte."""
    return all(
        len(dialect.names) > NARROW
        and len(dialect.delimiter.encode()) == 1
        and dialect.escape == dialect.quote
        for dialect in dialects
    )


def wide_first_cells(
    paths: Sequence[str], dialects: Sequence[Dialect], rows: int
) -> tuple[CellsFound, bool] | None:
    """What the first rows of wide files hold, and whether there are more rows.

    Args:
        paths: of the files.
        dialects: of each file.
        rows: most rows to look at.

    Returns:
        None for narrow files, and where a row is not as wide as the header: DuckDB then looks at
        the cells, and says what is wrong.
    """
    if not is_wide(dialects):
        return None
    names = dialects[0].names
    read: list[pa.Table] = []
    count = 0
    try:
        for path, dialect in zip(paths, dialects, strict=True):
            for piece in wide_text(path, dialect, most_bytes=PIECE_BYTES // 4):
                read.append(piece.select(list(names)))
                count += piece.num_rows
                if count > rows:
                    break
            if count > rows:
                break
    except pa.ArrowException:
        return None
    if not count:
        return None
    return _survey(names, pa.concat_tables(read).slice(0, rows)), count > rows


def wide_text(
    path: str, dialect: Dialect, *, most_bytes: int = PIECE_BYTES
) -> Generator[pa.Table, None, None]:
    """The cells of a wide file as text, in pieces of rows; an empty cell is missing.

    Args:
        path: of the file.
        dialect: one that `is_wide` accepts.
        most_bytes: of text in a piece, where a line is not longer.

    Raises:
        pa.ArrowInvalid: a row is not as wide as the header, or a quote stands where none belongs.
    """
    _check_quotes(path, dialect)
    texts = dict.fromkeys(dialect.names, pa.string())
    with (
        open_text(path) as stream,
        csv.open_csv(
            stream,
            read_options=csv.ReadOptions(
                use_threads=False,
                block_size=max(most_bytes, dialect.long_lines),
                skip_rows=dialect.skip,
                column_names=list(dialect.names),
                skip_rows_after_names=int(dialect.header),
            ),
            parse_options=csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote,
                newlines_in_values=True,
                ignore_empty_lines=True,
            ),
            convert_options=csv.ConvertOptions(
                column_types=texts,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        ) as reader,
    ):
        for batch in reader:
            if batch.num_rows:
                yield pa.Table.from_batches([batch])


def _check_quotes(path: str, dialect: Dialect) -> None:
    """Raise ArrowInvalid unless each quote begins or ends a cell, or is one of a pair in it.

    Arrow takes any quote, and DuckDB says where one is wrong.
    """
    quote = dialect.quote.encode()
    around = re.escape(dialect.delimiter.encode()) + b"\r\n"
    inside = re.compile(b"(?<![%b])%b(?![%b])" % (around, re.escape(quote), around))
    rest, odd = b"", False
    with open_text(path) as stream:
        while block := stream.read(_LOOKED_AT):
            if quote not in block and not rest:
                continue
            text = rest + block
            end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
            text, rest = text[:end], text[end:]
            odd ^= _is_odd(text, quote, inside)
    if odd ^ _is_odd(rest, quote, inside):
        raise pa.ArrowInvalid("a cell has no closing quote")


def _is_odd(lines: bytes, quote: bytes, inside: re.Pattern[bytes]) -> bool:
    """Whether the number of quotes in some lines is odd; ArrowInvalid if one is out of place."""
    if quote not in lines:
        return False
    # Within a cell a pair stands for one quote; an empty cell in quotes has lost both of its own.
    text = b"\n" + lines.replace(2 * quote, b"") + b"\n"
    if inside.search(text):
        raise pa.ArrowInvalid("a quote stands inside a cell")
    return text.count(quote) % 2 == 1


def _survey(names: Sequence[str], rows: pa.Table) -> CellsFound:
    """What columns of text hold."""
    found: CellsFound = {}
    for start in range(0, len(names), _COLUMNS_AT_ONCE):
        found |= _survey_some(names[start : start + _COLUMNS_AT_ONCE], rows.columns[start:])
    return found


def _survey_some(names: Sequence[str], columns: Sequence[pa.ChunkedArray]) -> CellsFound:
    found: CellsFound = {}
    chunks = [chunk for column in columns[: len(names)] for chunk in column.chunks]
    # Not at the import: scalars of Arrow import pandas, which no narrow file needs.
    empty_text = pa.scalar("")
    cells = pc.fill_null(pa.concat_arrays(chunks), empty_text)

    def of_all(flags: pa.Array) -> Any:
        return np.asarray(as_numpy(flags), dtype=bool).reshape(len(names), -1)

    empty = of_all(pc.equal(cells, empty_text))
    missing = of_all(pc.is_in(cells, pa.array([null for null in NULLS if null]))) & ~empty
    none = empty | missing
    number = of_all(pc.match_substring_regex(cells, f"^(?:{PLAIN})$"))
    pointed = of_all(pc.match_substring(cells, ".")) & ~none
    thousands = of_all(pc.match_substring_regex(cells, f"^(?:{THOUSANDS})$"))
    grouped = pointed.any(axis=1) & (~pointed | thousands | none).all(axis=1)
    numbers = (number | none).all(axis=1) & ~grouped
    height = none.shape[1]
    for place in np.flatnonzero(~none.all(axis=1)).tolist():
        marked = np.flatnonzero(missing[place]).tolist()
        words = {cells[place * height + row].as_py() for row in marked}
        whole = not pointed[place].any()
        found[names[place]] = (bool(numbers[place]), tuple(sorted(words)), whole)
    return found
