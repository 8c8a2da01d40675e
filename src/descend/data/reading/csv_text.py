"""The text of CSV files: open, decompress and decode it, and parse its first records."""

from __future__ import annotations

import codecs
import csv
import io
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from descend.errors import DataError

SAMPLE_RECORDS = 100
"""Records that a dialect is detected from."""
_SAMPLE_BYTES = 1 << 18
_MOST_BYTES = 1 << 26


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
    if not raw.removeprefix(codecs.BOM_UTF8).strip():
        raise DataError(f"{path} is empty; expected a line of column names, then rows.")
    if b"\0" in raw[:4096]:
        raise DataError(_no_text(path, raw[:4096]))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(raw) - 4 or whole:
            line = raw[: error.start].count(b"\n") + 1
            raise DataError(
                f"{path}, line {line}: expected UTF-8 text, found the byte "
                f"0x{raw[error.start]:02x}. {as_utf8(path, 'cp1252')}"
            ) from None
        text = raw[: error.start].decode("utf-8-sig")
    if not whole and "\n" in text:
        text = text[: text.rindex("\n") + 1]
    return text


def as_utf8(path: str, encoding: str) -> str:
    """What to type to have a file in UTF-8, as a sentence.

    Args:
        path: of the file; what its name says is packed is unpacked.
        encoding: that it has, or most likely has.
    """
    unpack = {".gz": "zcat", ".zst": "zstdcat", ".bz2": "bzcat"}.get(Path(path).suffix)
    plain = Path(path).with_suffix("") if unpack else Path(path)
    new = shlex.quote(str(plain.with_name(f"{plain.stem}-utf8{plain.suffix}")))
    old = shlex.quote(path)
    read = f"{unpack} {old} | iconv -f {encoding} -t utf-8" if unpack else ""
    read = read or f"iconv -f {encoding} -t utf-8 {old}"
    return f"Save it as UTF-8, for example with  {read} > {new}"


def _no_text(path: str, raw: bytes) -> str:
    """What a file is that holds zero bytes, as text in UTF-8 never does."""
    first, second = raw[0::2].count(0), raw[1::2].count(0)
    if max(first, second) > len(raw) // 3 and min(first, second) < len(raw) // 20 + 1:
        order = "utf-16be" if first > second else "utf-16le"
        return f"{path} is text in UTF-16; expected UTF-8. {as_utf8(path, order)}"
    if raw.startswith(b"PAR1"):
        return f"{path} is a Parquet file; expected CSV. Let its name end in .parquet"
    return (
        f"{path} is not a text file; expected CSV. If it is another format, "
        "let its name end in .parquet, .arrow, .jsonl or .xlsx"
    )


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
