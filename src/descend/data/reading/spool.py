"""Temporary copies of files that DuckDB cannot read directly.

Data from a pipe, from the network, in an archive, in another encoding or with mixed line endings is
written to a temporary file, which is removed with the table. Other files are read in place.
"""

from __future__ import annotations

import atexit
import bz2
import codecs
import csv
import hashlib
import io
import lzma
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

from descend.data.reading.csv_text import open_text
from descend.errors import DataError
from descend.io.secrets import without_secrets

STANDARD_INPUT = ("-", "/dev/stdin")
_BLOCK = 1 << 20
_TAIL_BYTES = 1 << 16
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_READ_PACKED = ((b"\x1f\x8b", ".gz"), (b"\x28\xb5\x2f\xfd", ".zst"))
"""First bytes of compressed files that DuckDB decompresses, given the right suffix."""
_XZ, _BZ2 = b"\xfd7zXZ\x00", b"BZh"
_ZIP = b"PK\x03\x04"


@final
class Spool:
    """The temporary files of one table, and the user's names for them."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._shown: dict[str, str] = {}

    def new(self, name: str, shown: str) -> str:
        """A path for a temporary copy, and the user's name for it."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(
                prefix="descend-", ignore_cleanup_errors=True
            )
        folder = Path(self._folder.name) / str(len(self._shown))
        folder.mkdir()
        path = str(folder / name)
        self._shown[path] = shown
        return path

    def origin(self, path: str) -> str:
        """The user's name for a file."""
        return self._shown.get(path, path)

    def told(self, text: str) -> str:
        """A text with temporary files replaced by the user's names."""
        for path, shown in self._shown.items():
            text = text.replace(path, shown)
        return text

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Inside the `with`, every DataError names files as the user does."""
        try:
            yield
        except DataError as error:
            raise DataError(self.told(str(error))) from None


_streams: dict[tuple[int, int], tuple[str, str]] = {}
"""(path, hash) of what was read from each pipe, by device and inode: it cannot be read again."""


def is_stream(path: str) -> bool:
    """Whether a path is standard input, a pipe or the like, which can only be read once."""
    if path in STANDARD_INPUT:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def stream_file(path: str, spool: Spool) -> tuple[str, str]:
    """(a file with the content of a stream, its hash).

    Raises:
        DataError: standard input is a terminal.
    """
    shown = "standard input" if path in STANDARD_INPUT else path
    try:
        descriptor = os.dup(0) if path in STANDARD_INPUT else os.open(path, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"{shown} cannot be read: {error.strerror}.") from None
    with open(descriptor, "rb") as stream:
        if stream.isatty():
            raise DataError(
                f"Expected a table on {shown}, found a terminal. Give the name of a file, or send "
                "rows through a pipe:  cat FILE | descend ... -"
            )
        status = os.fstat(stream.fileno())
        key = (status.st_dev, status.st_ino)
        if key not in _streams:
            folder = tempfile.mkdtemp(prefix="descend-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            copy = os.path.join(folder, "stream")
            _streams[key] = (copy, copied(stream, copy))
    copy, digest = _streams[key]
    named = spool.new("stream", shown)
    os.symlink(copy, named)
    if os.path.getsize(copy) == 0:
        raise DataError(f"{shown} is empty; expected a table.")
    return named, digest


def copied(stream: Any, path: str) -> str:
    """Copy a stream to a file, and return its hash."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "wb") as sink:
        while block := stream.read(_BLOCK):
            digest.update(block)
            sink.write(block)
    return digest.hexdigest()


def downloaded(url: str, spool: Spool) -> tuple[str, str]:
    """(a file downloaded from an http URL, its hash).

    Raises:
        DataError: there is no answer, or it is an error.
    """
    import urllib.error
    import urllib.request

    shown = without_secrets(url)
    name = Path(url.partition("?")[0].partition("#")[0]).name or "download"
    path = spool.new(name[-100:], shown)
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "descend"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return path, copied(answer, path)
    except urllib.error.HTTPError as error:
        raise DataError(f"{shown}: the server answered {error.code} ({error.reason}).") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"{shown} cannot be read: {reason}.") from None


def plain_file(path: str, part: str, spool: Spool) -> str:
    """The path of a file that DuckDB can open: no archive, and with the suffix of its compression.

    Args:
        path: of a file.
        part: a file in an archive or a sheet in a workbook; empty for the only one.
        spool: for temporary files.
    """
    for _ in range(4):
        head = first_bytes(path)
        suffix = Path(path).suffix.lower()
        if head.startswith((_XZ, _BZ2)):
            path = _unpacked(path, spool)
        elif head.startswith(_ZIP) or suffix in (".xlsx", ".xls", ".ods", ".xlsb"):
            unpacked = _from_archive(path, part, spool)
            if unpacked == path:
                break
            path, part = unpacked, ""
        else:
            break
    for start, suffix in _READ_PACKED:
        if first_bytes(path).startswith(start) and Path(path).suffix != suffix:
            named = spool.new(Path(path).name + suffix, spool.origin(path))
            os.symlink(os.path.abspath(path), named)
            path = named
    if part:
        raise DataError(f"{spool.origin(path)} has no parts; expected its name without #{part}.")
    return path


def first_bytes(path: str, count: int = 16) -> bytes:
    """The first bytes of a file."""
    try:
        with open(path, "rb") as stream:
            return stream.read(count)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None


def first_text(path: str) -> bytes:
    """The first decompressed bytes of a file."""
    try:
        with open_text(path) as stream:
            return bytes(stream.read(16))
    except (OSError, ValueError):
        return b""


def _unpacked(path: str, spool: Spool) -> str:
    shown = spool.origin(path)
    name = Path(path).name
    stem, suffix = os.path.splitext(name)
    target = spool.new(stem if suffix.lower() in (".xz", ".bz2") else name, shown)
    try:
        with bz2.open(path) if first_bytes(path).startswith(_BZ2) else lzma.open(path) as stream:
            copied(stream, target)
    except (lzma.LZMAError, EOFError, OSError) as error:
        raise DataError(f"{shown} cannot be unpacked: {error}.") from None
    return target


def _from_archive(path: str, part: str, spool: Spool) -> str:
    """A file from a zip archive, or a sheet of a workbook as CSV."""
    from descend.data.reading.workbooks import is_workbook, sheet_as_csv

    if is_workbook(path):
        return sheet_as_csv(path, part, spool)
    shown = spool.origin(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [
                entry
                for entry in archive.infolist()
                if not entry.is_dir() and not entry.filename.startswith("__MACOSX/")
            ]
            names = [entry.filename for entry in entries]
            chosen = [entry for entry in entries if not part or entry.filename == part]
            if len(chosen) != 1:
                listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
                what = f"no file {part!r}" if part else f"{len(names)} files"
                example = names[0] if names else "FILE"
                raise DataError(
                    f"{shown} holds {what}; expected one table. It holds: {listed or 'nothing'}. "
                    f"Name one as  '{shown}#{example}'"
                )
            target = spool.new(Path(chosen[0].filename).name, f"{shown}#{chosen[0].filename}")
            with archive.open(chosen[0]) as stream:
                copied(stream, target)
            return target
    except zipfile.BadZipFile:
        raise DataError(f"{shown} is a damaged zip archive; expected a table.") from None
    except (RuntimeError, NotImplementedError) as error:
        raise DataError(f"{shown} cannot be unpacked: {error}.") from None


def utf8_file(path: str, spool: Spool) -> str:
    """The path of the text file in UTF-8 with uniform line endings; a copy if necessary."""
    with _text_error(path), open_text(path) as stream:
        head: bytes = stream.read(1 << 18)
    encoding = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if encoding is not None:
        return _recoded(path, encoding, spool)
    tail = _tail(path, len(head))
    # Line breaks inside quotes belong to values; the first and last line end outside of quotes.
    whole = b"".join([*head.split(b'"')[::2], *tail.split(b'"')[::-2]])
    returns, both, feeds = whole.count(b"\r"), whole.count(b"\r\n"), whole.count(b"\n")
    if (both > 0 and (both < feeds or both < returns)) or (feeds and returns and not both):
        return _with_like_ends(path, spool)
    return path


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


def _recoded(path: str, encoding: str, spool: Spool) -> str:
    target = spool.new(_unpacked_name(path), spool.origin(path))
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with open_text(path) as stream, open(target, "wb") as sink:
            while block := stream.read(_BLOCK):
                sink.write(decoder.decode(block).encode("utf-8"))
            sink.write(decoder.decode(b"", final=True).encode("utf-8"))
    except UnicodeError as error:
        raise DataError(
            f"{path} begins as {encoding.upper()} text, but is not: {error}. Save it as UTF-8."
        ) from None
    return target


def _with_like_ends(path: str, spool: Spool) -> str:
    """A copy in which every line ends with a line feed; quoted text is unchanged."""
    target = spool.new(_unpacked_name(path), spool.origin(path))
    with open_text(path) as stream, open(target, "wb") as sink:
        held = b""
        quoted = 0
        while block := stream.read(_BLOCK):
            block = held + block
            held = b"\r" if block.endswith(b"\r") else b""
            parts = block[: len(block) - len(held)].split(b'"')
            for place in range(quoted, len(parts), 2):
                parts[place] = parts[place].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            quoted = (quoted + len(parts) - 1) % 2
            sink.write(b'"'.join(parts))
        sink.write(b"\n" if held else b"")
    return target


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


def _unpacked_name(path: str) -> str:
    name = Path(path).name
    return name[: -len(Path(name).suffix)] if Path(name).suffix in (".gz", ".bz2", ".zst") else name


def hash_of(path: str) -> str:
    """A hash of the content of a file."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
