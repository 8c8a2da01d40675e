"""Share text files out by ranges of bytes: each process reads its range, and no row is cut in two.

A byte of the middle of a CSV file does not tell whether it stands inside quotes, where a line break
belongs to a value. So every process counts the quotes of its range first: an odd number turns
inside to outside. Together the counts say for the beginning of every range which of both it is,
provided that quotes stand around whole fields and nowhere else, which is checked as well. A range
then begins with the first row that begins in it. Of JSON, where no text holds a line break, rows
are parted where a closing brace, a line break and an opening brace follow each other.
"""

from __future__ import annotations

import json
import mmap
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from descend.data.reading.csv_dialect import Dialect
from descend.data.reading.sharing import Sharing, share_out
from descend.data.reading.source import Source
from descend.data.reading.spool import BLOCK, Spool

_PACKED = (".gz", ".zst", ".bz2")
_LINE_FEED, _RETURN = b"\n"[0], b"\r"[0]
_LONGEST_LINE = 1 << 26
_BETWEEN_OBJECTS = re.compile(rb"\}[ \t\r]*\n[ \t\r\n]*\{")


@dataclass(frozen=True)
class _File:
    """A text file.

    Attributes:
        path: of the file.
        place: of its first row among the bytes of the rows of all files.
        head: bytes above its first row.
        size: of the file, in bytes.
        whole: why it cannot be cut; empty if it can.
        dialect: of a CSV file.
    """

    path: str
    place: int
    head: int
    size: int
    whole: str = ""
    dialect: Dialect | None = None

    @property
    def length(self) -> int:
        """Bytes of its rows."""
        return self.size - self.head

    def offset(self, place: int) -> int:
        """Where in the file a place among the bytes of all files is, at its ends if outside."""
        return self.head + min(max(place - self.place, 0), self.length)


class _Quotes(NamedTuple):
    """The quotes in a range of a CSV file.

    Attributes:
        odd: whether their number is odd.
        regular: whether they stand around whole fields: if the range begins outside of quotes, and
            if it begins inside.
    """

    odd: bool
    regular: tuple[bool, bool]


def cut_text(source: Source, sharing: Sharing, beside: Path) -> tuple[Source | None, str]:
    """The rows of text files that begin in the range of bytes of this process.

    Files that are cut are copied, this process's part of them, to a temporary folder. Files that
    cannot be cut (compressed, or with quotes within fields) are read whole by the process in
    whose range they begin, unless one of them is larger than a share. Every process calls this.

    Args:
        source: local CSV or JSON files.
        sharing: with the other processes, which see the same files.
        beside: the row store of the table; parts of files are copied beside it.

    Returns:
        The source with these rows alone, and an empty text; or None and why the files cannot be
        shared out so.
    """
    files = _files_of(source)
    bounds = _bounds(files, sharing.count)
    reason = _too_large(files, sharing.count)
    if reason:
        return None, reason
    # By number: of a file that had to be converted each process has a copy of its own.
    own = {
        str(number): _quotes_in(file, *_range(file, bounds, sharing.index))
        for number, file in enumerate(files)
        if _is_cut(file, bounds) and _touches(file, bounds, sharing.index)
    }
    found = [json.loads(one) for one in sharing.gather(json.dumps(own).encode())]
    begins: list[list[bool]] = []
    for number, file in enumerate(files):
        inside = False
        begins.append([])
        for process in found:
            begins[number].append(inside)
            odd, regular = process.get(str(number), (False, (True, True)))
            if not regular[inside]:
                files[number] = replace(file, whole="it has quotes within fields")
            inside ^= odd
    reason = _too_large(files, sharing.count)
    if reason:
        return None, reason
    parts = list(_parts(files, bounds, sharing.index, begins))
    room = sum(part.stop - part.start for part in parts if part.is_copied)
    assert source.spool is not None
    lacks = room > 0 and not source.spool.make_room(beside, room)
    if any(json.loads(one) for one in sharing.gather(json.dumps(lacks).encode())):
        return None, f"a disk lacks room beside {beside} for a copy of a share of the text"
    return _source_of(source, parts, source.spool), ""


@dataclass(frozen=True)
class _Part:
    """Bytes of a file, from the beginning of a row to the end of one."""

    file: _File
    start: int
    stop: int

    @property
    def is_copied(self) -> bool:
        return (self.start, self.stop) != (0, self.file.size)


def _files_of(source: Source) -> list[_File]:
    """The files with what is known of each; the places of those that cannot be cut count too."""
    files: list[_File] = []
    place = 0
    dialects = source.csv.dialects if source.csv is not None else [None] * len(source.reads)
    for path, dialect in zip(source.reads, dialects, strict=True):
        whole = _why_whole(path, dialect)
        head = 0 if whole or dialect is None else _head(path, dialect)
        file = _File(path, place, head, os.path.getsize(path), whole, dialect)
        files.append(file)
        place += file.length
    return files


def _why_whole(path: str, dialect: Dialect | None) -> str:
    """Why a file cannot be cut; empty if it can."""
    if Path(path).suffix in _PACKED:
        return "it is compressed"
    with open(path, "rb") as stream:
        start = stream.readline(_LONGEST_LINE)
        while start.isspace():
            start = stream.readline(_LONGEST_LINE)
    if dialect is None:
        return "it is one JSON array" if start.lstrip()[:1] == b"[" else ""
    if len(dialect.names) == 1:
        return "it has one column, where an empty line is a row"
    if dialect.quote != dialect.escape:
        return f"it marks quotes within fields with {dialect.escape}"
    if len(dialect.delimiter.encode()) > 1 or not start.endswith(b"\n"):
        return "its lines or fields are not parted by single bytes"
    return ""


def _head(path: str, dialect: Dialect) -> int:
    """How many bytes stand above the first row."""
    with open(path, "rb") as stream:
        for _ in range(dialect.skip):
            stream.readline()
        if dialect.header:
            quotes = stream.readline().count(dialect.quote.encode())
            while quotes % 2 and (line := stream.readline()):
                quotes += line.count(dialect.quote.encode())
        return stream.tell()


def _bounds(files: Sequence[_File], count: int) -> list[int]:
    """Where the range of each process begins among the bytes of all files, and where it ends."""
    total = sum(file.length for file in files)
    return [*(share_out(total, index, count)[0] for index in range(count)), total]


def _too_large(files: Sequence[_File], count: int) -> str:
    """Which file cannot be cut although no process should read all of it; empty if none."""
    share = -(-sum(file.length for file in files) // count)
    for file in files:
        if file.whole and file.length > share:
            return f"{file.path} cannot be cut, because {file.whole}"
    return ""


def _range(file: _File, bounds: Sequence[int], index: int) -> tuple[int, int]:
    """The bytes of a file in the range of a process."""
    return file.offset(bounds[index]), file.offset(bounds[index + 1])


def _touches(file: _File, bounds: Sequence[int], index: int) -> bool:
    low, high = _range(file, bounds, index)
    return low < high


def _is_cut(file: _File, bounds: Sequence[int]) -> bool:
    """Whether a range ends within a CSV file that can be cut."""
    within = any(file.place < bound < file.place + file.length for bound in bounds)
    return within and not file.whole and file.dialect is not None


def _quotes_in(file: _File, low: int, high: int) -> _Quotes:
    """The quotes in a range of a CSV file."""
    assert file.dialect is not None
    quote = file.dialect.quote.encode()[0]
    ends = np.zeros(256, bool)
    ends[[quote, file.dialect.delimiter.encode()[0], _LINE_FEED, _RETURN]] = True
    regular = [True, True]
    count = 0
    with open(file.path, "rb") as stream:
        for start in range(low, high, BLOCK):
            # With the byte before and the byte behind; a line begins and ends at those of the file.
            stream.seek(max(0, start - 1))
            stop = min(start + BLOCK, high)
            text = stream.read(stop + 1 - max(0, start - 1))
            text = (b"" if start else b"\n") + text + (b"\n" if stop == file.size else b"")
            found = np.frombuffer(text, np.uint8)
            places = 1 + np.flatnonzero(found[1:-1] == quote)
            opens, closes = ends[found[places - 1]], ends[found[places + 1]]
            for inside in (0, 1):
                first = (count + inside) % 2
                fits = opens[first::2].all() and closes[1 - first :: 2].all()
                regular[inside] = regular[inside] and bool(fits)
            count += len(places)
    return _Quotes(count % 2 == 1, (regular[0], regular[1]))


def _parts(
    files: Sequence[_File], bounds: Sequence[int], index: int, begins: Sequence[Sequence[bool]]
) -> Iterator[_Part]:
    """What the process reads of each file."""
    for file, inside in zip(files, begins, strict=True):
        if file.whole:
            if bounds[index] <= file.place < bounds[index + 1]:
                yield _Part(file, 0, file.size)
            continue
        low, high = _range(file, bounds, index)
        if low == high:
            continue
        start = _first_row(file, low, inside[index])
        after = inside[index + 1] if index + 1 < len(inside) else False
        stop = _first_row(file, high, after)
        if start < stop:
            yield _Part(file, 0 if start == file.head else start, stop)


def _first_row(file: _File, at: int, inside: bool) -> int:
    """Where the first row begins that begins at a place or behind it.

    Args:
        file: it is in.
        at: the place, in bytes.
        inside: whether that is inside quotes.
    """
    if at in (file.head, file.size):
        return at
    if file.dialect is None:
        return _first_object(file.path, at)
    quote = file.dialect.quote.encode()[0]
    with open(file.path, "rb") as stream:
        stream.seek(at - 1)
        if stream.read(1) == b"\n" and not inside:
            return at
        while block := stream.read(BLOCK):
            text: npt.NDArray[np.uint8] = np.frombuffer(block, np.uint8)
            quotes, lines = np.flatnonzero(text == quote), np.flatnonzero(text == _LINE_FEED)
            outside = (np.searchsorted(quotes, lines) + inside) % 2 == 0
            if outside.any():
                return at + int(lines[outside][0]) + 1
            inside ^= len(quotes) % 2 == 1
            at += len(block)
    return file.size


def _first_object(path: str, at: int) -> int:
    """Where the first JSON object begins behind a place."""
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
        found = _BETWEEN_OBJECTS.search(text, at)
        return found.end() - 1 if found is not None else len(text)


def _source_of(source: Source, parts: Sequence[_Part], spool: Spool) -> Source:
    """The source with these parts of its files."""
    paths: list[str] = []
    dialects: list[Dialect] = []
    for part in parts:
        file, path = part.file, part.file.path
        if part.is_copied:
            path = spool.new(Path(path).name, f"{spool.origin(path)} (from byte {part.start:,})")
            _copy(part, path)
        paths.append(path)
        dialects += [replace(file.dialect, notes=())] if file.dialect is not None else []
    if not paths:
        # No row begins in the range: a file without rows, whose columns are those of the others.
        paths = [spool.new("empty", source.name)]
        Path(paths[0]).touch()
        if source.csv is not None:
            dialects = [replace(source.csv.dialects[0], header=False, skip=0, notes=())]
    if source.csv is not None:
        # The first file of this process may have its columns in another order than that of all.
        csv = replace(
            source.csv, paths=tuple(paths), dialects=tuple(dialects), order=source.csv.names
        )
        return replace(source, csv=csv, relation=csv.relation(), reads=tuple(paths))
    assert source.json is not None
    listed = replace(source.json, paths=tuple(paths))
    return replace(source, json=listed, relation=listed.relation(), reads=tuple(paths))


def _copy(part: _Part, path: str) -> None:
    """Copy a part of a file, below what stands above its rows: that tells how lines end."""
    with open(part.file.path, "rb") as stream, open(path, "wb") as sink:
        if part.start:
            head = stream.read(part.file.head)
            if not head and part.file.dialect is not None:
                head = b"\r\n" if stream.readline().endswith(b"\r\n") else b"\n"
            sink.write(head)
        stream.seek(part.start)
        left = part.stop - part.start
        while left:
            block = stream.read(min(BLOCK, left))
            sink.write(block)
            left -= len(block)
