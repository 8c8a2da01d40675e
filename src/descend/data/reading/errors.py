"""Turn errors of DuckDB, Arrow and the system into one short text about the user's table."""

from __future__ import annotations

import csv
import difflib
import errno
import io
import os
import re
import shlex
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa

from descend.data.reading.csv_text import as_utf8, open_text, records
from descend.data.reading.sql import RESERVED
from descend.errors import DataError, listed_names, name_text, option_text, quoted_cell

_KINDS = {
    "DOUBLE": "a number",
    "BIGINT": "a whole number",
    "BOOLEAN": "true or false",
    "DATE": "a date like 2024-12-31",
    "TIMESTAMP": "a time like 2024-12-31 23:59:59",
}
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson", ".arrow", ".feather")


_FAR_TIME = "Could not convert Timestamp"
_MEMORY_SHORT = "Out of Memory"


class UnreadableCellError(DataError):
    """A cell of a CSV file cannot be read as the type that the first rows of its column have.

    Attributes:
        column: its name; the column can still be read as text.
    """

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column


class MemoryShortError(DataError):
    """DuckDB needs more memory than it may use; with fewer columns at a time it may suffice."""


def closest(name: str, names: Iterable[str]) -> str:
    """A sentence that offers the closest of the names, or an empty text."""
    known = list(names)
    letters = unicodedata.normalize("NFC", name)
    if any(one != name and unicodedata.normalize("NFC", one) == letters for one in known):
        return (
            " There is one of the same letters whose accents have another Unicode form (NFC or "
            "NFD): write both alike."
        )
    lower = {known_name.lower(): known_name for known_name in reversed(known)}
    near = difflib.get_close_matches(name.lower(), lower, 1, 0.6)
    return f" Did you mean {name_text(lower[near[0]])}?" if near else ""


def no_column(name: str, names: Sequence[str], purpose: str, table: str) -> DataError:
    """The error for a column that the user names and the table lacks."""
    return DataError(
        f"{table} has no column {name!r} ({purpose}).{closest(name, names)} "
        f"Its columns are: {listed_names(names)}."
    )


def check_names(table: str, names: Sequence[str]) -> None:
    """Raise DataError if two columns have the same name; SQL ignores letter case."""
    seen: dict[str, str] = {}
    for name in names:
        if name.startswith(RESERVED):
            raise DataError(
                f"{table} has a column whose name begins with the control character U+001F "
                f"({name[1:]!r} follows); expected a name without it. Rename the column."
            )
        other = seen.get(name.lower())
        if other == name:
            raise DataError(
                f"{table} has two columns named {name!r}; expected different names. "
                "Rename one of them."
            )
        if other is not None:
            raise DataError(
                f"{table} has the columns {other!r} and {name!r}, which differ only in letter "
                "case. Rename one of them."
            )
        seen[name.lower()] = name


def missing_file(path: str) -> DataError:
    """The error for a path that does not exist; offers files of similar names in its folder."""
    folder = Path(path).parent
    if not folder.is_dir():
        return DataError(f"There is no file {path}: there is no folder {folder}.")
    with os.scandir(folder) as entries:  # No folder is a table, nor a run of its name.
        names = sorted(entry.name for entry in entries if not entry.is_dir())
    near = closest(Path(path).name, names)
    tables = [name for name in names if Path(name).suffix in TABLE_SUFFIXES]
    if not near and tables:
        near = f" In {folder} there are: {', '.join(tables[:5])}."
    return DataError(f"There is no file {path}.{near}")


@contextmanager
def reading(table: str, *, query: bool = False, files: Sequence[str] = ()) -> Iterator[None]:
    """Inside the `with`, turn every error of DuckDB and of the system into a DataError.

    Args:
        table: its name in messages.
        query: whether it is the user's SQL.
        files: that are read, where `table` is not the path of one.
    """
    import duckdb

    try:
        yield
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        # While rows are streamed, DuckDB's errors arrive as Arrow's.
        text = str(error)
        said = _explain(text, table, query)
        if _FAR_TIME in text:
            said = _explain_far_time(table, files or (table,))
        cell = re.search(r'converting column "(.*)"\. Could not convert string', text) or re.search(
            r"Could not convert string .* when casting from source column (.*)$", text, re.M
        )
        if cell and not query:
            raise UnreadableCellError(said, cell[1]) from None
        raise (MemoryShortError if _MEMORY_SHORT in text else DataError)(said) from None


def _explain(text: str, table: str, query: bool) -> str:
    """DuckDB's message as one short text."""
    if "CSV Error on Line" in text:
        return _explain_csv(text, table)
    failed = re.search(r"Failed to cast value to numerical: (.*)", text)
    json_line = re.search(r'in file "([^"]*)",.*?in (?:line|record/value) (\d+)', text)
    if json_line:
        path, line = json_line[1], int(json_line[2])
        if failed:
            return (
                f"{path}, line {line}: expected a number, as in the first rows, found "
                f"{failed[1]}. Correct the value, or write null for a missing one."
            )
        if "Malformed JSON" in text:
            # DuckDB counts the line before it parses it.
            line -= 1
        said = text.splitlines()[0].rpartition(": ")[2].strip()
        return f"{path}, line {line}: expected one JSON object on each line; found: {said}"
    cell = re.search(r'converting column "(.*)"\. Could not convert string (.*)', text)
    if cell:
        return (
            f"{table}, column {cell[1]!r}: expected a number, as in the first rows, found "
            f"{cell[2]!r}. Correct the value, or leave it empty if it is missing."
        )
    if "extension" in text and re.search(r"httpfs|azure|aws", text):
        return (
            f"{table}: reading from the network needs DuckDB's httpfs extension, which is not "
            'installed here. Install it once with  python -c "import duckdb; '
            "duckdb.sql('INSTALL httpfs')\"  or download the file and name it instead."
        )
    denied = re.search(r'Cannot access file "([^"]*)"', text)
    if query and denied:
        named = denied[1].partition("/**/")[0]  # DuckDB takes what is no file for a folder.
        if named != denied[1] and not os.path.exists(named):
            return str(missing_file(named))
        return (
            f"The query reads {denied[1]}, which it does not name; expected every file as a "
            "string after FROM or in read_csv('...')."
        )
    if os.strerror(errno.ENOSPC) in text:
        return (
            f"The disk is too full to read {table}: a temporary copy, or what does not fit in "
            "memory, is written there. Free some space, or name a folder on another disk "
            f"with {option_text('store')} (and with TMPDIR in the environment)."
        )
    if _MEMORY_SHORT in text:
        return (
            f"{table}: the memory allowed does not suffice. Allow more with "
            f"{option_text('memory')}, "
            f"or leave columns out with {option_text('exclude')}. ({text.splitlines()[0]})"
        )
    if "state machine reached an invalid state" in text:
        return (
            f"{table}: the lines end in different ways (CRLF and LF). Make them alike, for example "
            f"with  sed -i 's/\\r$//' {shlex.quote(table)}"
        )
    first = re.sub(r"^(\w+ )+Error: ", "", text.splitlines()[0]).strip()
    if query:
        return f"The query cannot be run: {_with_position(first, text)}"
    if "No magic bytes" in text or "arquet" in first:
        return f"{table} is not a complete Parquet file: {first}"
    return f"{table} cannot be read: {first}"


def _explain_far_time(table: str, files: Sequence[str]) -> str:
    """Where a Parquet file holds a time that DuckDB cannot read."""
    where = ""
    for path in dict.fromkeys(files):
        with suppress(OSError, pa.ArrowException):  # It may be no Parquet file, or a URL.
            where = where or _far_time(path)
    where = where or f"{table}: a column of dates"
    return (
        f"{where}: expected times between the years 290308 BC and 294246, found one beyond them. "
        "Correct it, or make it missing."
    )


def _far_time(path: str) -> str:
    """The column and data row of the first time in a Parquet file that microseconds cannot tell."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for field in file.schema_arrow:
            if not pa.types.is_timestamp(field.type) or field.type.unit not in ("s", "ms"):
                continue
            largest = ((1 << 63) - 1) // (10**6 if field.type.unit == "s" else 10**3)
            start = 0
            for batch in file.iter_batches(columns=[field.name]):
                counts = batch.column(0).cast(pa.int64())
                far = pc.or_(pc.greater(counts, largest), pc.less(counts, -largest))
                place = pc.index(far, value=True).as_py()
                if place >= 0:
                    return f"{path}, column {field.name!r}, data row {start + place + 1}"
                start += batch.num_rows
    return ""


def _with_position(first: str, text: str) -> str:
    lines = [line.strip() for line in text.splitlines()[1:] if line.strip()]
    extra = [line for line in lines if line.startswith(("LINE", "Did you mean", "Candidate"))]
    return " ".join([first, *extra[:1]])


def _explain_csv(text: str, table: str) -> str:
    path = _match(r"^\s*file = (.*)$", text) or table
    counted = int(_match(r"CSV Error on Line: (\d+)", text) or 0)
    skip = int(_match(r"^\s*skip_rows = (\d+)", text) or 0)
    line = _editor_line(path, counted, skip)
    where = f"{path}, line {line}"
    byte = _foreign_byte(path, line)
    if byte is not None:
        return (
            f"{where}: expected UTF-8 text, found the byte 0x{byte:02x}. {as_utf8(path, 'cp1252')}"
        )
    value = re.search(
        r'converting column "(.*)"\. Could not convert string "(.*)" to \'(\w+)\'', text, re.DOTALL
    )
    if value:
        column, found, wanted = value.groups()
        kind = _KINDS.get(wanted, wanted)
        return (
            f"{where}, column {column!r}: expected {kind}, found {quoted_cell(found)}. Correct the "
            "value, leave it empty if it is missing, or leave the column out with "
            f"{option_text('exclude', [column])}."
        )
    fields = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    if fields:
        wanted = int(fields[1])
        found = int(fields[2])
        if found > wanted:
            found = _count_fields(text, found)
        first = ""
        if line == skip + 2:
            first = (
                f" If line {skip + 1} is not part of the table, leave it out with "
                f"{option_text('skip_lines', skip + 1)}."
            )
        return (
            f"{where}: expected {wanted} fields, as in line {skip + 1}, found {found}. "
            "Correct the line; a field that holds the delimiter must stand in double quotes."
            f"{first}"
        )
    if "unterminated quote" in text or "unquoted" in text.lower():
        return (
            f'{where}: a field begins with " and its closing " is missing or not at its end. '
            'Add it, or double every " inside the field.'
        )
    if "Maximum line size" in text:
        return (
            f"{where}: the line is much longer than those before it. Is a closing quote missing, "
            "or is the file damaged?"
        )
    said = next((part for part in text.splitlines()[2:] if part.strip()), text.splitlines()[0])
    return f"{where}: {said.strip()}"


def _count_fields(text: str, found: int) -> int:
    """The fields of the line that an error quotes: DuckDB stops at the first one too many.

    Args:
        text: of the error.
        found: the fields that DuckDB found; the answer where the line cannot be split.
    """
    line = re.search(r"^Original Line: (.*)$", text, re.MULTILINE)
    delimiter = re.search(r"^ *delimiter = (.) \(", text, re.MULTILINE)
    quote = re.search(r"^ *quote = (\S) \(", text, re.MULTILINE)
    if line is None or delimiter is None:
        return found
    mark = '"' if quote is None else quote[1]
    try:
        rows = csv.reader([line[1]], delimiter=delimiter[1], quotechar=mark)
        return max([found, *map(len, rows)])
    except (TypeError, csv.Error):
        return found


def _match(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text, re.MULTILINE)
    return found.group(1).strip() if found else None


def _foreign_byte(path: str, line: int) -> int | None:
    """The first byte of a line that is not valid UTF-8, or None."""
    try:
        with open_text(path) as stream, io.BufferedReader(stream) as lines:
            for number, content in enumerate(lines, 1):
                if number == line:
                    content.decode("utf-8")
                    return None
    except UnicodeDecodeError as error:
        return error.object[error.start]
    except (OSError, ValueError):
        pass
    return None


def _editor_line(path: str, line: int, skip: int) -> int:
    """The line as an editor counts; DuckDB does not count line breaks in quotes."""
    try:
        for number, start in records(path, skip):
            if number == line:
                return start
    except (OSError, ValueError, csv.Error):
        pass
    return line
