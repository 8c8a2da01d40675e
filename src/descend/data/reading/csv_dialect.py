"""Detect the dialect of a CSV file: delimiter, quotes, and where header and rows begin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from descend.data.reading.csv_delimiter import find_delimiter, find_quoting, is_tabbed
from descend.data.reading.csv_header import (
    count_lines,
    find_titles,
    has_row_names,
    lines_text,
    looks_like_data,
    names_below,
    skip_comments,
)
from descend.data.reading.csv_text import SAMPLE_RECORDS, parse
from descend.data.reading.options import ReadingOptions
from descend.errors import DataError, option_text

_LONG_LINE = 1 << 18
_QUOTED = re.compile(r'^\s+"(.*)"\s*$', re.DOTALL)
_JSON = re.compile(r'\s*(\[\s*)?\{\s*"[^"\n]*"\s*:')
_SEPARATOR = re.compile(r"\ufeff?sep=(.)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """The dialect of a file.

    Attributes:
        delimiter: that separates fields.
        names: of the columns.
        skip: lines before the header, or before the first row if there is no header.
        header: whether a header follows.
        quote: around fields that hold a delimiter.
        escape: the character before a quote inside such a field.
        long_lines: most bytes of a line, if above DuckDB's default; else 0.
        notes: sentences for the user.
    """

    delimiter: str
    names: tuple[str, ...]
    skip: int = 0
    header: bool = True
    quote: str = '"'
    escape: str = '"'
    long_lines: int = 0
    notes: tuple[str, ...] = ()


def find_dialect(path: str, text: str, options: ReadingOptions) -> Dialect:
    """The dialect of a file, from its first lines and what the user says.

    Comments and titles above the header are skipped; a line `sep=;` names the delimiter. If it
    is unclear which line is the header, the first one is taken.

    Args:
        path: of the file, for messages.
        text: its first lines.
        options: what the user says; it takes precedence.

    Raises:
        DataError: the header is missing.
    """
    if _JSON.match(text):
        raise DataError(
            f"{path} holds JSON; expected CSV. Let its name end in .json, or in .jsonl where each "
            "line is a row"
        )
    lines = text.splitlines(keepends=True)
    skip, notes = skip_comments(lines, options)
    delimiter = options.delimiter
    separator = _SEPARATOR.fullmatch(lines[skip]) if skip < len(lines) else None
    if separator and options.skip_lines is None:
        skip, delimiter = skip + 1, delimiter or separator[1]
    while options.skip_lines is None and skip < len(lines) and not lines[skip].strip("\r\n \t"):
        skip += 1
    rest = "".join(lines[skip:])
    if delimiter is None:
        delimiter = "\t" if is_tabbed(path) else find_delimiter(rest)
    quote, escape = find_quoting(rest, delimiter)
    found = parse(rest, delimiter, SAMPLE_RECORDS, quote=quote, escape=escape)
    if options.header and options.skip_lines is None:
        above = find_titles(rest, delimiter, found, options)
        if above is not None:
            titles, delimiter = above
            notes.append(f"{lines_text(skip + 1, skip + titles, 'above the header')} skipped.")
            skip += titles
            rest = "".join(lines[skip:])
            quote, escape = find_quoting(rest, delimiter)
            found = parse(rest, delimiter, SAMPLE_RECORDS, quote=quote, escape=escape)
    if quote == "'":
        notes.append("Single quotes around fields are read as quotes.")
    shape: dict[str, Any] = {"delimiter": delimiter, "quote": quote, "escape": escape}
    longest = max(map(len, lines))
    if longest > _LONG_LINE:
        shape["long_lines"] = 8 << longest.bit_length()
    first = found[0] if found else []
    if not first:
        raise DataError(
            f"{path}, line {skip + 1}: expected a line of column names, found an empty line or one "
            "that is too long to be read. Delete it."
        )
    rows = [record for record in found[1:] if record]
    if not options.header:
        names = tuple(f"column{place}" for place in range(len(first)))
        return Dialect(names=names, skip=skip, header=False, notes=tuple(notes), **shape)
    if has_row_names(first, rows):
        notes.append("The rows begin with names, which the header lacks: they are 'column0'.")
        height = count_lines(rest, delimiter, records=1, quote=quote)
        names = ("column0", *_column_names(first, 1))
        return Dialect(names=names, skip=skip + height, header=False, notes=tuple(notes), **shape)
    if looks_like_data(first, rows):
        shown = ", ".join(repr(field[:20]) for field in first[:3]) + ", ..." * (len(first) > 3)
        notes.append(
            f"Line {skip + 1} was taken as the column names, but looks like data ({shown}). "
            f"If it is, add {option_text('header', False)}; the columns are then called column0, "
            "column1, ..."
        )
    elif options.skip_lines is None and (words := names_below(first, rows)):
        height = count_lines(rest, delimiter, records=1, quote=quote)
        shown = ", ".join(repr(word[:20]) for word in words[:3]) + ", ..." * (len(words) > 3)
        notes.append(
            f"Line {skip + height + 1} has words ({shown}) where the other lines have numbers or "
            "dates. If they are the names of the columns, add "
            f"{option_text('skip_lines', skip + height)}; if they are units, delete the line."
        )
    return Dialect(names=_column_names(first), skip=skip, notes=tuple(notes), **shape)


def _column_names(fields: Sequence[str], start: int = 0) -> tuple[str, ...]:
    """The names in a header; an empty one (pandas' index column) becomes `column0` and so on.

    Quotes with spaces before them are quotes all the same, as in the rows.
    """
    plain = (_QUOTED.sub(r"\1", name).replace('""', '"') for name in fields)
    return tuple(name or f"column{place}" for place, name in enumerate(plain, start))
