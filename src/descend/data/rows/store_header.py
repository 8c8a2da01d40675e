"""The header of a row store on disk: what it was made from, sizes and checksums."""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from descend.errors import FileFormatError, InputError
from descend.io.json_records import read_as, read_json
from descend.types import Batch

FORMAT = "descend row store"
VERSION = 1
HEADER = "header.json"
CHECKSUMS = "checksums"
PARTS = ("training", "validation")
_DTYPES = {
    *("float32", "float16", "bool"),
    *("int32", "int16", "int8", "uint32", "uint16", "uint8"),
}

Checksums = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Group:
    """Columns of one type that share a file, row after row.

    Attributes:
        name: `y`, `weight`, or the name of an input.
        dtype: float32 or int32; of arrays that a user brings, any number of four bytes or less.
        shape: of one row.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Header:
    """Everything about a row store except its rows.

    Attributes:
        key: identifies what it was made from.
        groups: its files.
        piece_rows: rows under one checksum.
        rows: number of training and of validation rows.
        mean_weight: of training and of validation.
    """

    key: Mapping[str, Any]
    groups: tuple[Group, ...]
    piece_rows: int
    rows: Mapping[str, int]
    mean_weight: Mapping[str, float]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row in all files."""
        return sum(group.row_bytes for group in self.groups)

    @property
    def bytes(self) -> int:
        """Bytes of all rows."""
        return self.row_bytes * sum(self.rows.values())

    def pieces(self, part: str) -> int:
        """Number of pieces of a part."""
        return -(-self.rows[part] // self.piece_rows)

    def file(self, folder: Path, part: str, group: Group) -> Path:
        """The file with the rows of a group."""
        return folder / f"{part}.{group.name}"


Count = Annotated[int, Meta(ge=0, le=1 << 62)]


class StoredHeader(Struct):
    """The header of a store as JSON."""

    complete: Literal[True]
    key: dict[str, Any]
    groups: Annotated[list[tuple[str, str, tuple[Count, ...]]], Meta(min_length=3)]
    piece_rows: Annotated[int, Meta(ge=1, le=1 << 62)]
    rows: dict[str, Count]
    mean_weight: dict[str, float]
    checksums: int


class StoredFile(Struct):
    """A file that a store was made from."""

    path: str


class StoredSource(Struct):
    """A table that a store was made from."""

    files: tuple[StoredFile, ...] = ()


class StoredKey(Struct):
    """The parts of a store's key that are read."""

    fingerprint: dict[str, StoredSource] = {}
    options: dict[str, Any] = {}
    unseen: list[str] = []
    """Sentences on what training did not have in the validation rows; older stores have none."""


def groups_of(batch: Batch) -> tuple[Group, ...]:
    """The groups for rows of this form."""
    leaves = {**batch.x, "y": batch.y, "weight": batch.weight}
    return tuple(
        Group(name, str(values.dtype), tuple(values.shape[1:])) for name, values in leaves.items()
    )


def batch_of(leaves: Mapping[str, Any]) -> Batch:
    """A Batch of values by group name."""
    x = {name: values for name, values in leaves.items() if name not in ("y", "weight")}
    return Batch(x, leaves["y"], leaves["weight"])


def leaves_of(batch: Batch) -> dict[str, Any]:
    """The arrays of a Batch by group name."""
    return {**batch.x, "y": batch.y, "weight": batch.weight}


def is_store(path: Path) -> bool:
    """Whether a folder looks like a row store."""
    return os.path.isfile(path / HEADER) and os.path.isfile(path / CHECKSUMS)


def describe_store(path: Path) -> dict[str, Any]:
    """What a row store contains, as a record for `descend inspect`.

    Raises:
        FileFormatError: it is damaged, incomplete or of a newer version.
    """
    header, _ = read_header(path)
    sources = header.key.get("fingerprint", {})
    files = [file for source in sources.values() for file in source.get("files", ())]
    return {
        "kind": "row store",
        "path": str(path),
        "rows": dict(header.rows),
        "bytes": header.bytes,
        "row_bytes": header.row_bytes,
        "piece_rows": header.piece_rows,
        "columns": {group.name: [group.dtype, list(group.shape)] for group in header.groups},
        "made_from": {"files": files, "options": header.key.get("options", {})},
    }


def write_header(folder: Path, header: Header, checksums: Checksums) -> None:
    """Write checksums and header to a folder that is to be a store; nothing is synced."""
    content = checksums.astype("<u4").tobytes()
    (folder / CHECKSUMS).write_bytes(content)
    record = {
        "format": FORMAT,
        "version": VERSION,
        "complete": True,
        "key": header.key,
        "groups": [[group.name, group.dtype, list(group.shape)] for group in header.groups],
        "piece_rows": header.piece_rows,
        "rows": header.rows,
        "mean_weight": header.mean_weight,
        "checksums": zlib.crc32(content),
    }
    text = json.dumps({**record, "checksum": _checksum(record)}, indent=1)
    (folder / HEADER).write_text(text + "\n", encoding="utf-8")


def read_header(folder: Path) -> tuple[Header, Checksums]:
    """Header and checksums of a store, once the sizes of its files are checked.

    The checksums are uint32 `[pieces of both parts, groups]`, training first.

    Raises:
        FileFormatError: the store is damaged, incomplete or of a newer version.
    """
    try:
        record = read_json(folder / HEADER)
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise FileFormatError(f"{folder} is not a row store that descend wrote.")
        if record.get("version") != VERSION:
            raise FileFormatError(
                f"{folder} has version {record.get('version')} of the row store; this descend "
                f"reads version {VERSION}. Delete the folder; it will be written "
                "again from the data."
            )
        checksum = record.pop("checksum", None)
        if checksum != _checksum(record):
            raise damaged_store_error(folder, "its header was altered")
        stored = read_as(StoredHeader, record)
        read_as(StoredKey, stored.key)
        header = Header(
            key=stored.key,
            groups=tuple(Group(*group) for group in stored.groups),
            piece_rows=stored.piece_rows,
            rows=stored.rows,
            mean_weight=stored.mean_weight,
        )
        if not (header.rows.keys() == header.mean_weight.keys() == {*PARTS}):
            raise damaged_store_error(folder, "its parts are not training and validation")
        content = (folder / CHECKSUMS).read_bytes()
        if zlib.crc32(content) != stored.checksums:
            raise damaged_store_error(folder, "its checksums were altered")
        checksums = np.frombuffer(content, "<u4").reshape(
            sum(header.pieces(part) for part in PARTS), len(header.groups)
        )
        _check_sizes(folder, header)
    except FileFormatError:
        raise
    except (InputError, OSError, ValueError) as error:
        raise damaged_store_error(folder, str(error)) from error
    return header, checksums


def damaged_store_error(folder: Path, what: str) -> FileFormatError:
    """The error for a store that cannot be used."""
    return FileFormatError(
        f"The row store {folder} is damaged: {what}. Delete the folder and run the same command "
        "again; the store will be written again from the data."
    )


def _check_sizes(folder: Path, header: Header) -> None:
    for part in PARTS:
        for group in header.groups:
            if group.dtype not in _DTYPES or "/" in group.name or "\0" in group.name:
                raise damaged_store_error(
                    folder, f"it has no numbers {group.dtype!r} called {group.name!r}"
                )
            path = header.file(folder, part, group)
            expected = header.rows[part] * group.row_bytes
            found = path.stat().st_size
            if found != expected:
                raise damaged_store_error(
                    folder, f"{path.name} has {found:,} bytes, not {expected:,}"
                )


def _checksum(record: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(record, sort_keys=True).encode())
