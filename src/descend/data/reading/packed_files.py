"""Compressed files, archives and workbooks: unpack what DuckDB cannot open itself."""

from __future__ import annotations

import bz2
import lzma
import os
import zipfile
from pathlib import Path

from descend.data.reading.spool import Spool, copy_stream, first_bytes
from descend.data.reading.workbooks import is_workbook, sheet_as_csv
from descend.errors import DataError

_READ_PACKED = ((b"\x1f\x8b", ".gz"), (b"\x28\xb5\x2f\xfd", ".zst"))
"""First bytes of compressed files that DuckDB decompresses, given the right suffix."""
_XZ, _BZ2 = b"\xfd7zXZ\x00", b"BZh"
_ZIP = b"PK\x03\x04"


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
            path = _unpack(path, spool)
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


def _unpack(path: str, spool: Spool) -> str:
    shown = spool.origin(path)
    name = Path(path).name
    stem, suffix = os.path.splitext(name)
    target = spool.new(stem if suffix.lower() in (".xz", ".bz2") else name, shown)
    try:
        with bz2.open(path) if first_bytes(path).startswith(_BZ2) else lzma.open(path) as stream:
            copy_stream(stream, target)
    except (lzma.LZMAError, EOFError, OSError) as error:
        raise DataError(f"{shown} cannot be unpacked: {error}.") from None
    return target


def _from_archive(path: str, part: str, spool: Spool) -> str:
    """A file from a zip archive, or a sheet of a workbook as CSV."""
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
                copy_stream(stream, target)
            return target
    except zipfile.BadZipFile:
        raise DataError(f"{shown} is a damaged zip archive; expected a table.") from None
    except (RuntimeError, NotImplementedError) as error:
        raise DataError(f"{shown} cannot be unpacked: {error}.") from None
