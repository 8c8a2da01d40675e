"""Text files in another encoding, with mixed line endings or with spaces as delimiters: copies."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from descend.data.reading.csv_text import open_text
from descend.data.reading.spool import BLOCK, Spool
from descend.errors import DataError

_TAIL_BYTES = 1 << 16
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def utf8_file(path: str, spool: Spool) -> str:
    """The path of the text file in UTF-8 with uniform line endings; a copy if necessary."""
    with _text_error(path), open_text(path) as stream:
        head: bytes = stream.read(1 << 18)
    encoding = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if encoding is not None:
        return utf8_file(_recode(path, encoding, spool), spool)
    tail = _tail(path, len(head))
    # Line breaks inside quotes belong to values; the first and last line end outside of quotes.
    whole = b"".join([*head.split(b'"')[::2], *tail.split(b'"')[::-2]])
    returns, both, feeds = whole.count(b"\r"), whole.count(b"\r\n"), whole.count(b"\n")
    mixed = (both > 0 and (both < feeds or both < returns)) or (feeds and returns and not both)
    # A spreadsheet breaks a name by LF and ends rows by CRLF; DuckDB takes the first it meets.
    # Nor does it see quotes behind a byte order mark that reach beyond their line.
    marked = head.startswith(codecs.BOM_UTF8) and head.partition(b"\n")[0].count(b'"') % 2 == 1
    if mixed or marked or _first_end(head) != _first_end(whole):
        return _with_uniform_ends(path, spool)
    return path


def tabbed_file(path: str, spool: Spool) -> str:
    """A copy with one tab in place of the spaces and tabs between fields."""
    target = spool.new(_unpacked_name(path), spool.origin(path))
    with open_text(path) as stream, open(target, "w", encoding="utf-8", newline="") as sink:
        writer = csv.writer(sink, delimiter="\t", lineterminator="\n")
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace")
        for line in text:
            plain = line.rstrip("\n").replace("\t", " ")
            fields = next(csv.reader([plain], delimiter=" ", skipinitialspace=True), [])
            while fields and not fields[-1]:
                fields.pop()
            writer.writerow(fields[1:] if fields and not fields[0] else fields)
    return target


def first_text(path: str) -> bytes:
    """The first decompressed bytes of a file."""
    try:
        with open_text(path) as stream:
            return bytes(stream.read(16))
    except (OSError, ValueError):
        return b""


def _first_end(text: bytes) -> bytes:
    """How the first line of a text ends."""
    lines = text.splitlines(keepends=True)
    return lines[0][len(lines[0].rstrip(b"\r\n")) :] if lines else b""


def _tail(path: str, known: int) -> bytes:
    if Path(path).suffix in (".gz", ".bz2", ".zst") or os.path.getsize(path) <= known:
        return b""
    with open(path, "rb") as stream:
        stream.seek(max(known, os.path.getsize(path) - _TAIL_BYTES))
        tail = stream.read()
    # A CRLF may be cut in two.
    return tail[1:] if tail.startswith(b"\n") else tail


@contextmanager
def _text_error(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None


def _recode(path: str, encoding: str, spool: Spool) -> str:
    target = spool.new(_unpacked_name(path), spool.origin(path))
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with open_text(path) as stream, open(target, "wb") as sink:
            while block := stream.read(BLOCK):
                sink.write(decoder.decode(block).encode("utf-8"))
            sink.write(decoder.decode(b"", final=True).encode("utf-8"))
    except UnicodeError as error:
        raise DataError(
            f"{path} begins as {encoding.upper()} text, but is not: {error}. Save it as UTF-8."
        ) from None
    return target


def _with_uniform_ends(path: str, spool: Spool) -> str:
    """A copy without a mark in which every line ends with a line feed.

    Quoted text is unchanged below the first line.
    """
    target = spool.new(_unpacked_name(path), spool.origin(path))
    with open_text(path) as stream, open(target, "wb") as sink:
        held = b""
        quoted, below = 0, False
        while block := stream.read(BLOCK):
            block = held + (block if below or held else block.removeprefix(codecs.BOM_UTF8))
            held = b"\r" if block.endswith(b"\r") else b""
            parts = block[: len(block) - len(held)].split(b'"')
            for place, part in enumerate(parts):
                outside = place % 2 == quoted
                if outside or not below:
                    parts[place] = part.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
                below = below or (outside and b"\n" in parts[place])
            quoted = (quoted + len(parts) - 1) % 2
            sink.write(b'"'.join(parts))
        sink.write(b"\n" if held else b"")
    return target


def _unpacked_name(path: str) -> str:
    name = Path(path).name
    return name[: -len(Path(name).suffix)] if Path(name).suffix in (".gz", ".bz2", ".zst") else name
