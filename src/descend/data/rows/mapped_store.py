"""A row store on disk: random access by row number, or windows in bounded memory."""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from descend.data.rows.order import Rows
from descend.data.rows.store import AnyArray, MemoryStore, aligned_array
from descend.data.rows.store_header import (
    Checksums,
    Group,
    Header,
    batch_of,
    damaged_store_error,
    leaves_of,
    read_header,
)
from descend.data.rows.windows import Cut, Windows
from descend.errors import FileFormatError
from descend.types import Batch

_FEW_ROWS = 512
"""Rows out of file order are copied in blocks of this many: each may map 64 KiB into memory."""


@final
@dataclass(frozen=True, eq=False)
class MappedStore:
    """The training or the validation rows of a store on disk.

    Consecutive rows are read; others are copied from the memory-mapped file, whose pages are
    released at once. Each piece is checked against its checksum when it is first read.

    Attributes:
        folder: of the store.
        part: `training` or `validation`.
        header: of the store.
        checksums: of this part, `[pieces, groups]`.
        windows: in which an epoch reads the rows; None for one uniform order.
    """

    waits: ClassVar[bool] = True
    folder: Path
    part: str
    header: Header
    checksums: Checksums
    windows: Windows | None = None
    _files: dict[str, _File] = field(init=False, repr=False)
    _checked: npt.NDArray[np.bool_] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        files = {
            group.name: _File(self.header.file(self.folder, self.part, group), group, len(self))
            for group in self.header.groups
        }
        object.__setattr__(self, "_files", files)
        object.__setattr__(self, "_checked", np.zeros(len(self.checksums), dtype=bool))

    def __len__(self) -> int:
        return self.header.rows[self.part]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.header.row_bytes

    @property
    def mean_weight(self) -> float:
        """Mean over the rows whose weight is not 0; 1 where there is no such row."""
        return self.header.mean_weight[self.part]

    def gather(self, rows: Rows) -> Batch:
        """A copy of the rows with these numbers.

        Only consecutive rows are checked against checksums: for a few rows scattered over the
        table, that would mean reading all of it.
        """
        found = empty_rows(self._files, len(rows))
        if len(rows) and _follow(rows):
            first, last = int(rows[0]), int(rows[-1]) + 1
            self._check(first // self.header.piece_rows, -(-last // self.header.piece_rows))
            for name, file in self._files.items():
                file.read(first, found[name])
            return batch_of(found)
        for start in range(0, len(rows), _FEW_ROWS):
            some = rows[start : start + _FEW_ROWS]
            for name, file in self._files.items():
                file.take(some, found[name][start : start + _FEW_ROWS])
        return batch_of(found)

    def resident(self) -> MemoryStore:
        """The same rows as one memory map, with every piece checked."""
        self._check(0, len(self._checked))
        return MemoryStore(*batch_of({name: file.all for name, file in self._files.items()}))

    def in_windows(self, windows: Windows) -> MappedStore:
        """The same rows, read in windows."""
        return replace(self, windows=windows)

    def read_pieces(self, pieces: Rows, into: Batch) -> None:
        """Read pieces, one after another, into the first rows of `into`."""
        done = 0
        leaves = leaves_of(into)
        for piece in pieces.tolist():
            first = piece * self.header.piece_rows
            count = min(self.header.piece_rows, len(self) - first)
            for place, (name, file) in enumerate(self._files.items()):
                values = leaves[name][done : done + count]
                file.read(first, values)
                if not self._checked[piece]:
                    self._compare(piece, place, values)
            self._checked[piece] = True
            done += count

    def expect_pieces(self, pieces: Rows) -> None:
        """Tell the system that these pieces will be read next."""
        for first in (pieces * self.header.piece_rows).tolist():
            for file in self._files.values():
                file.expect(first, self.header.piece_rows)

    def _check(self, first: int, last: int) -> None:
        """Check the pieces that have not been read yet against their checksums."""
        for piece in (first + np.flatnonzero(~self._checked[first:last])).tolist():
            count = min(self.header.piece_rows, len(self) - piece * self.header.piece_rows)
            self.read_pieces(np.asarray([piece]), batch_of(empty_rows(self._files, count)))

    def _compare(self, piece: int, place: int, values: AnyArray) -> None:
        if zlib.crc32(as_bytes(values)) != self.checksums[piece, place]:
            group = self.header.groups[place]
            # Without its header the store is written again by the next run.
            forget(self.folder)
            raise damaged_store_error(
                self.folder, f"piece {piece} of {self.part}.{group.name} was altered"
            )


@final
class WindowReader:
    """Rows in the order of `windowed_rows`, with one window in memory.

    Reading on from where the last call stopped is fast; any other position loads a window.
    """

    def __init__(self, store: MappedStore, windows: Windows, seed: int) -> None:
        self._store = store
        self._windows = windows
        self._seed = seed
        self._held: tuple[int, int] | None = None
        self._rows = store.gather(np.empty(0, np.int64))

    def __call__(self, epoch: int, start: int, stop: int) -> Batch:
        """A copy of the rows at positions `start` to `stop` of an epoch."""
        store = self._store
        found = store.gather(np.empty(0, np.int64))
        cut = Cut(self._windows, self._seed, epoch, len(store))
        found = _grown(found, stop - start)
        done = 0
        while start < stop:
            window = cut.window_at(start)
            first, last = cut.start(window), cut.start(window + 1)
            end = min(stop, last)
            self._hold(cut, epoch, window)
            local = cut.within(window, start - first, end - first)
            targets = leaves_of(found)
            for name, values in leaves_of(self._rows).items():
                # mode="clip" keeps NumPy from buffering the result.
                np.take(values, local, axis=0, out=targets[name][done:][: end - start], mode="clip")
            done += end - start
            start = end
        return found

    def _hold(self, cut: Cut, epoch: int, window: int) -> None:
        """Load a window, unless it is in memory, and let the system begin to read the next one."""
        if self._held == (epoch, window):
            return
        self._held = None
        if not len(self._rows.weight):
            self._rows = _grown(self._rows, min(len(self._store), self._windows.rows))
        self._store.read_pieces(cut.pieces(window), self._rows)
        self._held = (epoch, window)
        if window + 1 < cut.count:
            self._store.expect_pieces(cut.pieces(window + 1))
        else:
            following = Cut(self._windows, self._seed, epoch + 1, len(self._store))
            self._store.expect_pieces(following.pieces(0))


def open_store(folder: Path) -> tuple[MappedStore, MappedStore]:
    """The training and the validation rows of a store.

    Raises:
        FileFormatError: the store is damaged, incomplete or of a newer version.
    """
    header, checksums = read_header(folder)
    first = header.pieces("training")
    try:
        return (
            MappedStore(folder, "training", header, checksums[:first]),
            MappedStore(folder, "validation", header, checksums[first:]),
        )
    except OSError as error:
        raise damaged_store_error(folder, str(error)) from error


def forget(folder: Path) -> None:
    """Delete a damaged store's header, so that the next run writes the store again."""
    try:
        (folder / "header.json").unlink(missing_ok=True)
    except OSError:
        return  # The folder is read-only; the error names it.


@final
class _File:
    """The rows of one group."""

    def __init__(self, path: Path, group: Group, rows: int) -> None:
        self.group = group
        self._path = path
        self._handle = os.open(path, os.O_RDONLY)
        self._map: mmap.mmap | None = None
        size = rows * group.row_bytes
        if size:
            self._map = mmap.mmap(self._handle, size, prot=mmap.PROT_READ)
        content = np.frombuffer(self._map if self._map is not None else b"", group.dtype)
        self.all: AnyArray = content.reshape(rows, *group.shape)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # As the interpreter ends, the names of modules may be gone: the function is kept here.
        if hasattr(self, "_handle"):
            close(self._handle)

    def read(self, first: int, into: AnyArray) -> None:
        """Read consecutive rows, from `first` on."""
        view = as_bytes(into)
        offset = first * self.group.row_bytes
        while len(view):
            count = os.preadv(self._handle, [view], offset)
            if count == 0:
                raise FileFormatError(f"{self._path} was cut short while it was read.")
            view = view[count:]
            offset += count

    def take(self, rows: Rows, into: AnyArray) -> None:
        """Copy any rows from the memory map, and release its pages."""
        if self._map is None:
            return
        np.take(self.all, rows, axis=0, out=into, mode="clip")
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def expect(self, first: int, rows: int) -> None:
        """Let the system read these rows into its cache in the background."""
        if hasattr(os, "posix_fadvise"):
            size = self.group.row_bytes
            os.posix_fadvise(self._handle, first * size, rows * size, os.POSIX_FADV_WILLNEED)


def as_bytes(values: AnyArray) -> memoryview:
    """The bytes of a contiguous array, without a copy."""
    return values.reshape(-1).view(np.uint8).data


def empty_rows(files: dict[str, _File], rows: int) -> dict[str, AnyArray]:
    """Uninitialised arrays for a number of rows."""
    return {
        name: aligned_array((rows, *file.group.shape), file.group.dtype)
        for name, file in files.items()
    }


def _grown(like: Batch, rows: int) -> Batch:
    return batch_of(
        {
            name: aligned_array((rows, *values.shape[1:]), values.dtype)
            for name, values in leaves_of(like).items()
        }
    )


def _follow(rows: Rows) -> bool:
    return int(rows[-1]) - int(rows[0]) == len(rows) - 1 and bool(np.all(np.diff(rows) == 1))
