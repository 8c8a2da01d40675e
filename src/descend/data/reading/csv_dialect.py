"""The head of a CSV file: its text, its delimiter, and where its records begin."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from descend.errors import DataError

_SAMPLE_BYTES = 1 << 18
_USUAL = ",;\t|"
_UNUSUAL = ":^~\x01"


def records(path: str) -> Iterator[tuple[int, int]]:
    """(line DuckDB counts, line an editor shows) of each record of a CSV file.

    DuckDB counts a record with line breaks inside quotes as one line.
    """
    with _open(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")
        reader = csv.reader(text)
        start = 1
        for number, _ in enumerate(reader, 1):
            yield number, start
            start = reader.line_num + 1


def _open(path: str) -> Any:
    suffix = Path(path).suffix
    compression = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}.get(suffix)
    return pa.input_stream(path, compression=compression)


def read_head(path: str) -> str:
    """The first records of a file as text, without a byte order mark."""
    try:
        with _open(path) as stream:
            raw: bytes = stream.read(_SAMPLE_BYTES)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if not raw.strip():
        raise DataError(f"{path} is empty; expected a line of column names, then rows.")
    if b"\0" in raw[:4096] and raw[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(
            f"{path} is not a text file; expected CSV. If it is another format, "
            "let its name end in .parquet, .arrow or .jsonl."
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(raw) - 4 or len(raw) < _SAMPLE_BYTES:
            line = raw[: error.start].count(b"\n") + 1
            raise DataError(
                f"{path}, line {line}: expected UTF-8 text, found the byte "
                f"0x{raw[error.start]:02x}. Save the file as UTF-8, for example with "
                f"iconv -f latin1 -t utf-8."
            ) from None
        text = raw[: error.start].decode("utf-8-sig")
    if len(raw) == _SAMPLE_BYTES and "\n" in text:
        text = text[: text.rindex("\n") + 1]
    return text


def is_tabbed(path: str) -> bool:
    """Whether the name of a file says that tabs are its delimiter."""
    return any(suffix in (".tsv", ".tab") for suffix in Path(path).suffixes)


def find_delimiter(text: str) -> str:
    """The delimiter that cuts header and first records into equally many fields."""
    scores = {delimiter: _score(text, delimiter) for delimiter in _USUAL}
    best = max(_USUAL, key=lambda delimiter: scores[delimiter])
    if scores[best][1] > 1:
        return best
    for delimiter in _UNUSUAL:
        share, fields = _score(text, delimiter)
        if share == 1 and fields > 1:
            return delimiter
    return ","


def _score(text: str, delimiter: str) -> tuple[float, int]:
    """(share of records with as many fields as the header, fields of the header)."""
    lengths = [len(record) for record in parse(text, delimiter, 100) if record]
    if not lengths or lengths[0] < 2:
        return 0.0, 1
    return sum(length == lengths[0] for length in lengths) / len(lengths), lengths[0]


def parse(text: str, delimiter: str, most: int) -> list[list[str]]:
    """The first records of a text, at most so many."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return [record for record, _ in zip(reader, range(most), strict=False)]
    except csv.Error:
        return []
