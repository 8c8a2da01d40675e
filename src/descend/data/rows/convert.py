"""Write a row store: one pass over the source, shuffled on the way, whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np

from descend.data.rows.header import (
    PARTS,
    Checksums,
    Group,
    Header,
    groups_of,
    leaves_of,
    write_header,
)
from descend.data.rows.mapped import as_bytes
from descend.data.rows.order import Rows, epoch_rows
from descend.data.rows.store import AnyArray
from descend.errors import DataError
from descend.runs.files import sync_folder, write_error
from descend.types import Batch

PIECE_BYTES = 1 << 20
BUCKET_BYTES = 128 << 20
PLACES = "places"
_SHUFFLE = 1 << 40
"""Keeps the order in the files apart from the orders of the epochs: no seed is so large."""

Part = tuple[str, Batch]


def write_store(
    folder: Path,
    parts: Iterable[Part],
    *,
    key: Mapping[str, Any],
    rows: Mapping[str, int],
    seed: int,
    bucket_bytes: int = BUCKET_BYTES,
) -> None:
    """Write a row store under a temporary name, and give it its own when it is complete.

    The n-th training row goes to the place that a permutation of (seed, n) says, so the files
    are the same whatever `bucket_bytes` is. Validation rows keep their order.

    Args:
        folder: the store; one that stands there is replaced.
        parts: `training` or `validation` and rows of it, in the order of the source.
        key: what the store is made from.
        rows: how many rows there will be of each part.
        seed: of the order in the files.
        bucket_bytes: memory for shuffling; half of it is used for rows.

    Raises:
        DataError: the disk is full or read-only, or there are not as many rows as announced.
    """
    with _in_its_place(folder) as building:
        writers: dict[str, _PartWriter] = {}
        header: Header | None = None
        try:
            for part, batch in parts:
                if header is None:
                    header = _header(groups_of(batch), key, rows)
                    check_room(folder, header.bytes + 4 * rows["training"])
                    writers = {
                        name: _PartWriter(building, header, name, seed, bucket_bytes)
                        for name in PARTS
                    }
                writers[part].add(batch)
            if header is None or any(writer.missing for writer in writers.values()):
                raise _changed(rows, {name: writer.count for name, writer in writers.items()})
            sums = [writers[name].finish() for name in PARTS]
        finally:
            for writer in writers.values():
                writer.close()
        means = {name: writers[name].mean_weight for name in PARTS}
        final_header = Header(key, header.groups, header.piece_rows, dict(rows), means)
        write_header(building, final_header, np.concatenate(sums))


def piece_rows_of(row_bytes: int) -> int:
    """Rows that are read at a stretch, about a mebibyte."""
    return max(1, PIECE_BYTES // row_bytes)


def check_room(folder: Path, size: int) -> None:
    """Raise DataError where the disk has not enough room for a store and its shuffling."""
    free = shutil.disk_usage(folder.parent).free
    if free < size:
        raise _no_room(folder, f" It needs {size:,} bytes; {free:,} are free.")


def _header(groups: tuple[Group, ...], key: Mapping[str, Any], rows: Mapping[str, int]) -> Header:
    row_bytes = sum(group.row_bytes for group in groups)
    return Header(key, groups, piece_rows_of(row_bytes), dict(rows), {})


@final
class _PartWriter:
    """The rows of one part: scattered over buckets as they come, each bucket ordered at the end.

    A bucket is a stretch of the finished files. Rows are first written into their bucket in the
    order of arrival, with the place each shall have; then bucket after bucket is read, ordered
    and written back.
    """

    def __init__(
        self, folder: Path, header: Header, part: str, seed: int, bucket_bytes: int
    ) -> None:
        self.count = 0
        self._rows = header.rows[part]
        self._groups = header.groups
        self._piece_rows = header.piece_rows
        self._seed = _SHUFFLE + seed if part == "training" else None
        # Rows as they came and rows in order are in memory together, with their places.
        room = bucket_bytes // (2 * max(group.row_bytes for group in header.groups) + 16)
        self._bucket_rows = max(1, room // header.piece_rows) * header.piece_rows
        buckets = max(1, -(-self._rows // self._bucket_rows))
        self._written = np.zeros(buckets, np.int64)
        self._weights = [0.0, 0.0]
        self._folder = folder
        self._files = {
            group.name: _created(header.file(folder, part, group)) for group in header.groups
        }
        self._places: tuple[int, ...] = ()
        if self._seed is not None:
            self._places = (_created(folder / PLACES),)

    @property
    def missing(self) -> bool:
        """Whether rows that were announced have not come."""
        return self.count < self._rows

    @property
    def mean_weight(self) -> float:
        """Mean over the rows whose weight is not 0; 1 where there is no such row."""
        total, counted = self._weights
        return total / max(1.0, counted) or 1.0

    def add(self, batch: Batch) -> None:
        """Rows as they come."""
        count = len(batch.weight)
        if self.count + count > self._rows:
            raise _changed({"rows": self._rows}, {"rows": self.count + count})
        self._weights[0] += float(np.sum(batch.weight, dtype=np.float64))
        self._weights[1] += int(np.count_nonzero(batch.weight))
        if self._seed is None:
            for group in self._groups:
                values = np.ascontiguousarray(leaves_of(batch)[group.name])
                _write(self._files[group.name], values, self.count * group.row_bytes)
        else:
            places = epoch_rows(self._seed, 0, self.count, self.count + count, self._rows)
            self._scatter(batch, places)
        self.count += count

    def _scatter(self, batch: Batch, places: Rows) -> None:
        """Write rows behind those that their buckets have."""
        # Sixteen bits are sorted several times as fast.
        kind = np.uint16 if len(self._written) <= 1 << 16 else np.int64
        bucket = (places // self._bucket_rows).astype(kind)
        order = np.argsort(bucket, kind="stable")
        counts = np.bincount(bucket, minlength=len(self._written))
        local = (places % self._bucket_rows).astype(np.int32)
        values = {name: np.take(leaf, order, axis=0) for name, leaf in leaves_of(batch).items()}
        values["places"] = local[order]
        done = 0
        for number in np.flatnonzero(counts).tolist():
            stop = done + int(counts[number])
            first = number * self._bucket_rows + int(self._written[number])
            for group in self._groups:
                _write(
                    self._files[group.name], values[group.name][done:stop], first * group.row_bytes
                )
            _write(self._places[0], values["places"][done:stop], 4 * first)
            done = stop
        self._written += counts

    def finish(self) -> Checksums:
        """Bring every bucket into order, and return the checksums of the pieces."""
        sums = np.zeros((-(-self._rows // self._piece_rows), len(self._groups)), np.uint32)
        for first in range(0, self._rows, self._bucket_rows):
            count = min(self._bucket_rows, self._rows - first)
            places = None
            if self._seed is not None:
                places = np.empty(count, np.int32)
                _read(self._places[0], places, 4 * first)
            for column, group in enumerate(self._groups):
                values = np.empty((count, *group.shape), group.dtype)
                _read(self._files[group.name], values, first * group.row_bytes)
                if places is not None:
                    ordered = np.empty_like(values)
                    ordered[places] = values
                    values = ordered
                    _write(self._files[group.name], values, first * group.row_bytes)
                for start in range(0, count, self._piece_rows):
                    piece = (first + start) // self._piece_rows
                    sums[piece, column] = zlib.crc32(as_bytes(values[start:][: self._piece_rows]))
        for handle in self._files.values():
            os.fsync(handle)
        (self._folder / PLACES).unlink(missing_ok=True)
        return sums

    def close(self) -> None:
        """Close the files."""
        for handle in (*self._files.values(), *self._places):
            os.close(handle)
        self._files, self._places = {}, ()


@contextmanager
def _in_its_place(folder: Path) -> Iterator[Path]:
    """A folder to build in; it becomes `folder` when the block ends without an error.

    One process builds at a time (`kept` sees to it); what a dead one left behind is removed.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(f".{folder.name}.*.part"):
            shutil.rmtree(left, ignore_errors=True)
        building = Path(
            tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part")
        )
        try:
            yield building
            _replace(building, folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_room(folder) from error
        raise DataError(f"{write_error(folder, error)} --store names another folder.") from error


def _replace(building: Path, folder: Path) -> None:
    sync_folder(building)
    if folder.exists():
        old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
        os.rename(folder, old / "old")
        os.rename(building, folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.rename(building, folder)
    sync_folder(folder.parent)


def _no_room(folder: Path, need: str = "") -> DataError:
    return DataError(
        f"The disk is too full for the row store {folder}.{need} Free some space, or name a "
        "folder on another disk with --store."
    )


def _changed(expected: Mapping[str, int], found: Mapping[str, int]) -> DataError:
    return DataError(
        f"The table changed while it was read: expected {sum(expected.values()):,} rows to "
        f"learn from, found {sum(found.values()):,}. Run the command again when it stands still."
    )


def _created(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)


def _write(handle: int, values: AnyArray, offset: int) -> None:
    view = as_bytes(values)
    while len(view):
        count = os.pwrite(handle, view, offset)
        view = view[count:]
        offset += count


def _read(handle: int, into: AnyArray, offset: int) -> None:
    view = as_bytes(into)
    while len(view):
        count = os.preadv(handle, [view], offset)
        if count == 0:
            raise OSError(errno.EIO, "a file was cut short while it was written")
        view = view[count:]
        offset += count
