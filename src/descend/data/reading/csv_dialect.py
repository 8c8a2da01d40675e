"""Detect the dialect of a CSV file: delimiter, quotes, and where header and rows begin."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from descend.data.reading.options import ReadingOptions
from descend.errors import DataError, option_text

_SAMPLE_BYTES = 1 << 18
_MOST_BYTES = 1 << 26
_LONG_LINE = 1 << 18
_SAMPLE_RECORDS = 100
_MOST_SKIPPED = 50
_USUAL = ",;\t|"
_UNUSUAL = ":^~\x01"
_COMMENT = re.compile(r"\s*(#|%|//)")
_SEPARATOR = re.compile(r"\ufeff?sep=(.)\s*", re.IGNORECASE)
_NUMBER = re.compile(r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*")
SPACES = " "
"""A delimiter that stands for any number of spaces and tabs."""


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


def records(path: str, skip: int = 0) -> Iterator[tuple[int, int]]:
    """(line as DuckDB counts, line as an editor counts) of each record of a CSV file.

    DuckDB counts a record with line breaks inside quotes as one line.

    Args:
        path: of the file.
        skip: lines above the first record.
    """
    with open_text(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")
        for _ in range(skip):
            text.readline()
        reader = csv.reader(text)
        start = 1
        for number, _ in enumerate(reader, 1):
            yield number + skip, start + skip
            start = reader.line_num + 1


def open_text(path: str) -> Any:
    """The bytes of a text file, decompressed if its name says that it is compressed."""
    suffix = Path(path).suffix
    compression = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}.get(suffix)
    return pa.input_stream(path, compression=compression)


def read_head(path: str) -> str:
    """The first records of a file as text, without the byte order mark.

    Raises:
        DataError: the file is empty, cannot be decompressed, or is not UTF-8 text.
    """
    raw, whole = _first_bytes(path)
    if not raw.strip():
        raise DataError(f"{path} is empty; expected a line of column names, then rows.")
    if b"\0" in raw[:4096]:
        raise DataError(
            f"{path} is not a text file; expected CSV. If it is another format, "
            "let its name end in .parquet, .arrow, .jsonl or .xlsx. If it is text in UTF-16, save "
            "it as UTF-8, for example with  iconv -f utf-16 -t utf-8"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(raw) - 4 or whole:
            line = raw[: error.start].count(b"\n") + 1
            raise DataError(
                f"{path}, line {line}: expected UTF-8 text, found the byte "
                f"0x{raw[error.start]:02x}. Save the file as UTF-8, for example with "
                "iconv -f latin1 -t utf-8."
            ) from None
        text = raw[: error.start].decode("utf-8-sig")
    if not whole and "\n" in text:
        text = text[: text.rindex("\n") + 1]
    return text


def _first_bytes(path: str) -> tuple[bytes, bool]:
    """The first bytes, at least a few lines, and whether that is the whole file."""
    raw = b""
    try:
        with open_text(path) as stream:
            while len(raw) < _MOST_BYTES:
                block = stream.read(max(_SAMPLE_BYTES, len(raw)))
                raw += block
                if not block:
                    return raw, True
                if len(raw) >= _SAMPLE_BYTES and raw.count(b"\n") + raw.count(b"\r") > 20:
                    break
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    return raw, False


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
    lines = text.splitlines(keepends=True)
    skip, notes = _skipped(lines, options)
    delimiter = options.delimiter
    separator = _SEPARATOR.fullmatch(lines[skip]) if skip < len(lines) else None
    if separator and options.skip_lines is None:
        skip, delimiter = skip + 1, delimiter or separator[1]
    while options.skip_lines is None and skip < len(lines) and not lines[skip].strip("\r\n \t"):
        skip += 1
    rest = "".join(lines[skip:])
    if delimiter is None:
        delimiter = "\t" if is_tabbed(path) else find_delimiter(rest)
    quote, escape = _quoting(rest, delimiter)
    found = parse(rest, delimiter, _SAMPLE_RECORDS, quote=quote, escape=escape)
    if options.header and options.skip_lines is None:
        above = _title_lines(rest, delimiter, found, options)
        if above is not None:
            titles, delimiter = above
            notes.append(f"{_lines(skip + 1, skip + titles, 'above the header')} skipped.")
            skip += titles
            rest = "".join(lines[skip:])
            quote, escape = _quoting(rest, delimiter)
            found = parse(rest, delimiter, _SAMPLE_RECORDS, quote=quote, escape=escape)
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
    if _has_row_names(first, rows):
        notes.append("The rows begin with names, which the header lacks: they are 'column0'.")
        height = _height(rest, delimiter, quote)
        names = ("column0", *_named(first, 1))
        return Dialect(names=names, skip=skip + height, header=False, notes=tuple(notes), **shape)
    if looks_like_data(first, rows):
        shown = ", ".join(repr(field[:20]) for field in first[:3])
        notes.append(
            f"Line {skip + 1} was taken as the column names, but looks like data ({shown}, ...). "
            f"If it is, add {option_text('header', False)}; the columns are then called column0, "
            "column1, ..."
        )
    return Dialect(names=_named(first), skip=skip, notes=tuple(notes), **shape)


def _named(fields: Sequence[str], start: int = 0) -> tuple[str, ...]:
    """The names in a header; an empty one (pandas' index column) becomes `column0` and so on."""
    return tuple(name or f"column{place}" for place, name in enumerate(fields, start))


def is_tabbed(path: str) -> bool:
    """Whether the suffix of a file says that its delimiter is a tab."""
    return any(suffix.lower() in (".tsv", ".tab") for suffix in Path(path).suffixes)


def _skipped(lines: Sequence[str], options: ReadingOptions) -> tuple[int, list[str]]:
    """The number of lines to skip at the top: comments, or as the user says."""
    if options.skip_lines is not None:
        return options.skip_lines, []
    comments = 0
    while comments < min(len(lines), _MOST_SKIPPED) and _COMMENT.match(lines[comments]):
        comments += 1
    blank = comments
    while comments and blank < len(lines) and not lines[blank].strip():
        blank += 1
    if not comments or blank == len(lines):
        return 0, []
    rest = "".join(lines[blank:])
    delimiter = options.delimiter or find_delimiter(rest)
    found = [one for one in parse(rest, delimiter, _SAMPLE_RECORDS) if one]
    header = _looks_like_header(found[0], found[1:]) if found else None
    last = parse(lines[comments - 1], delimiter, 1)
    # "#id,name" is a header if the next line has as many fields and is no header itself.
    if options.header and header is not True and last and len(last[0]) == len(found[0]) > 1:
        note = (
            f"Line {comments} begins with a comment sign and was taken as the column names. "
            f"If it is a comment, add {option_text('skip_lines', comments)}."
        )
        skipped = [f"{_lines(1, comments - 1, 'comments')} skipped."] if comments > 1 else []
        return comments - 1, [*skipped, note] if header is None else skipped
    return blank, [f"{_lines(1, comments, 'comments')} skipped."]


def _lines(first: int, last: int, what: str) -> str:
    if first == last:
        return f"Line {first} ({what}) is"
    return f"Lines {first} to {last} ({what}) are"


def _title_lines(
    text: str, delimiter: str, found: Sequence[Sequence[str]], options: ReadingOptions
) -> tuple[int, str] | None:
    """(number of title lines above the header, delimiter below them), or None if there are none."""
    lengths = [len(record) for record in found if record]
    if len(lengths) < 3 or (_share(lengths, lengths[0]) >= 0.5 and lengths[0] > 1):
        return None
    candidates = [options.delimiter] if options.delimiter else [*_USUAL]
    best: tuple[int, str] | None = None
    widest = max(1, lengths[0]) if _share(lengths, lengths[0]) >= 0.5 else 1
    for candidate in candidates:
        records = parse(text, candidate, _SAMPLE_RECORDS)
        full = [len(record) for record in records]
        usual = max(set(full), key=full.count, default=0)
        if usual <= widest or usual not in full:
            continue
        start = full.index(usual)
        below = [length for length in full[start:] if length]
        header = records[start]
        if start == 0 or len(below) < 2 or _share(below, usual) < 0.95:
            continue
        if _has_row_names(records[0], records[1:]):
            continue
        if not _looks_like_header(header, records[start + 1 :]):
            continue
        height = sum(1 for _ in _physical(text, candidate, start))
        widest, best = usual, (height, candidate)
    return best


def _physical(text: str, delimiter: str, count: int) -> Iterator[str]:
    """The number of lines that the first records of a text take."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    for _, _ in zip(range(count), reader, strict=False):
        pass
    yield from text.splitlines(keepends=True)[: reader.line_num]


def _height(text: str, delimiter: str, quote: str) -> int:
    """The number of lines that the first record takes."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote)
    next(reader, None)
    return reader.line_num


def _share(lengths: Sequence[int], length: int) -> float:
    return sum(one == length for one in lengths) / len(lengths)


def _looks_like_header(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool | None:
    """Whether a record holds names above columns of numbers; None if there is no such column."""
    numeric = _numeric_places(rows, len(header))
    if any(_NUMBER.fullmatch(header[place]) for place in numeric):
        return False
    return True if numeric else None


def looks_like_data(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a header has a number above a column of numbers, except years and numbering."""
    places = _numeric_places(rows, len(header))
    found = [header[place] for place in places if _NUMBER.fullmatch(header[place])]
    if not found or len(rows) < 2:
        return False
    try:
        numbers = [int(field) for field in found]
    except ValueError:
        return True
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    return not (len(steps) == 1 and steps != {0}) and not (
        len(numbers) == 1 and (numbers[0] < 10 or 1000 <= numbers[0] < 3000)
    )


def _numeric_places(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """The indices of the columns whose fields are numbers or empty, but not all empty."""
    full = [row for row in rows if len(row) == width]
    return [
        place
        for place in range(width)
        if any(row[place].strip() for row in full)
        and all(not row[place].strip() or _NUMBER.fullmatch(row[place]) for row in full)
    ]


def _has_row_names(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether every row has one field more than the header, at the front."""
    if len(rows) < 2 or any(len(row) != len(header) + 1 for row in rows):
        return False
    # A delimiter at the end of each row gives an empty last field.
    return any(row[-1].strip() for row in rows) and len({row[0] for row in rows}) == len(rows)


def _quoting(text: str, delimiter: str) -> tuple[str, str]:
    """The (quote, escape) characters of a text."""
    if '\\"' in text and not _is_strict(text, delimiter, '"') and _is_strict(text, delimiter, "\\"):
        return '"', "\\"
    if "'" not in text:
        return '"', '"'
    rows = [row for row in parse(text, delimiter, _SAMPLE_RECORDS)[1:] if row]
    single = [row for row in parse(text, delimiter, _SAMPLE_RECORDS, quote="'", escape="'") if row]
    if (
        len(single) > 2
        and len({len(row) for row in single}) == 1
        and len({len(row) for row in rows}) > 1
    ):
        return "'", "'"
    if len(rows) < 3:
        return '"', '"'
    width = max(len(row) for row in rows)
    for place in range(width):
        fields = [row[place] for row in rows if len(row) > place and row[place]]
        if len(fields) >= 3 and all(
            len(field) > 1 and field[0] == field[-1] == "'" for field in fields
        ):
            return "'", "'"
    return '"', '"'


def _is_strict(text: str, delimiter: str, escape: str) -> bool:
    """Whether all quotes of a text are valid with this escape character."""
    double = escape == '"'
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        strict=True,
        doublequote=double,
        escapechar=None if double else escape,
    )
    try:
        for _ in reader:
            pass
    except csv.Error:
        return False
    return True


def find_delimiter(text: str) -> str:
    """The delimiter that splits header and first records into the same number of fields."""
    scores = {delimiter: _score(text, delimiter) for delimiter in _USUAL}
    best = max(_USUAL, key=lambda delimiter: scores[delimiter])
    if scores[best][1] > 1 and (scores[best][0] == 1 or not _is_spaced(text)):
        return best
    for delimiter in _UNUSUAL:
        share, fields = _score(text, delimiter)
        if share == 1 and fields > 1:
            return delimiter
    return SPACES if _is_spaced(text) else ","


def _is_spaced(text: str) -> bool:
    """Whether spaces split each line into the same number of fields, some of them numbers."""
    found = [line.split() for line in text.splitlines()[:_SAMPLE_RECORDS] if line.strip()]
    if len(found) < 3 or len(found[0]) < 2 or len({len(fields) for fields in found}) > 1:
        return False
    return len(_numeric_places(found[1:], len(found[0]))) > 0


def _score(text: str, delimiter: str) -> tuple[float, int]:
    """(share of records with as many fields as the header, number of those fields)."""
    lengths = [len(record) for record in parse(text, delimiter, _SAMPLE_RECORDS) if record]
    if not lengths or lengths[0] < 2:
        return 0.0, 1
    return _share(lengths, lengths[0]), lengths[0]


def parse(
    text: str, delimiter: str, most: int, *, quote: str = '"', escape: str = '"'
) -> list[list[str]]:
    """The first records of a text, at most `most`."""
    csv.field_size_limit(_MOST_BYTES)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quotechar=quote,
        doublequote=escape == quote,
        escapechar=None if escape == quote else escape,
    )
    try:
        return [record for record, _ in zip(reader, range(most), strict=False)]
    except csv.Error:
        return []
