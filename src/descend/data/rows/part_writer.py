"""Write the training or the validation rows of a row store, with training rows shuffled."""

from __future__ import annotations

import errno
import functools
import os
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

from descend.data.rows.mapped_store import as_bytes
from descend.data.rows.order import Rows, epoch_rows
from descend.data.rows.store import AnyArray
from descend.data.rows.store_header import Checksums, Group, Header, leaves_of
from descend.errors import DataError
from descend.types import Batch

_PLACES = "places"
_PLACE_BYTES = 16
_SOME_ROWS = 1 << 16
_THREADS = 4
_SHUFFLE = 1 << 40
"""Above every user's seed, so that the order in the files differs from that of any epoch."""


@final
class PartWriter:
    """Writes the rows of one part in an order given by the seed.

    Rows that fit in the memory for shuffling are held there and written in order at the end.
    Otherwise they are scattered over buckets. A bucket is a range of the finished files: rows
    are first written to it in order of arrival, each with its final position; then each bucket
    is read, sorted and written back.
    """

    def __init__(
        self, folder: Path, header: Header, part: str, seed: int, bucket_bytes: int
    ) -> None:
        self.count = 0
        self._rows = header.rows[part]
        self._groups = header.groups
        self._piece_rows = header.piece_rows
        self._seed = _SHUFFLE + seed if part == "training" else None
        # Memory holds the rows of a group and their positions, twice.
        room = bucket_bytes // (max(group.row_bytes for group in header.groups) + _PLACE_BYTES)
        self._bucket_rows = max(1, room // header.piece_rows) * header.piece_rows
        buckets = max(1, -(-self._rows // self._bucket_rows))
        self._written = np.zeros(buckets, np.int64)
        self._weights = [0.0, 0.0]
        self._folder = folder
        self._files = {
            group.name: _create_file(header.file(folder, part, group)) for group in header.groups
        }
        self._places: tuple[int, ...] = ()
        self._held: dict[str, AnyArray] = {}
        if (
            self._seed is not None
            and self._rows * (header.row_bytes + _PLACE_BYTES) <= bucket_bytes
        ):
            self._held = {
                group.name: np.empty((self._rows, *group.shape), group.dtype)
                for group in header.groups
            }
        elif self._seed is not None:
            self._places = (_create_file(folder / _PLACES),)

    @property
    def missing(self) -> bool:
        """Whether fewer rows were added than announced."""
        return self.count < self._rows

    @property
    def mean_weight(self) -> float:
        """Mean over the rows whose weight is not 0; 1 where there is no such row."""
        total, counted = self._weights
        return total / max(1.0, counted) or 1.0

    def add(self, batch: Batch) -> None:
        """Add rows in their order of arrival."""
        start, stop = self.count, self.count + len(batch.weight)
        if stop > self._rows:
            raise changed_table_error({"rows": self._rows}, {"rows": stop})
        self._weights[0] += float(np.sum(batch.weight, dtype=np.float64))
        self._weights[1] += int(np.count_nonzero(batch.weight))
        leaves = leaves_of(batch)
        if self._held:
            for name, values in leaves.items():
                self._held[name][start:stop] = values
        elif self._seed is None:
            for group in self._groups:
                values = np.ascontiguousarray(leaves[group.name])
                _write(self._files[group.name], values, start * group.row_bytes)
        else:
            self._scatter(leaves, epoch_rows(self._seed, 0, start, stop, self._rows))
        self.count = stop

    def _scatter(self, leaves: Mapping[str, AnyArray], places: Rows) -> None:
        """Append rows to their buckets."""
        # 16-bit numbers are sorted several times as fast.
        kind = np.uint16 if len(self._written) <= 1 << 16 else np.int64
        bucket = (places // self._bucket_rows).astype(kind)
        order = np.argsort(bucket, kind="stable")
        counts = np.bincount(bucket, minlength=len(self._written))
        local = (places % self._bucket_rows).astype(np.int32)
        values = {name: np.take(leaf, order, axis=0) for name, leaf in leaves.items()}
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
        """Sort the rows, and return the checksums of the pieces; nothing is synced."""
        sums = np.zeros((-(-self._rows // self._piece_rows), len(self._groups)), np.uint32)
        step = self._rows if self._held else self._bucket_rows
        with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
            for first in range(0, self._rows, max(1, step)):
                count = min(step, self._rows - first)
                order = self._order(first, count)
                pieces = range(0, count, self._piece_rows)
                number = first // self._piece_rows
                for column, group in enumerate(self._groups):
                    arrived = self._arrived(group, first, count)
                    settle = functools.partial(self._settle, group, arrived, order, first)
                    sums[number : number + len(pieces), column] = list(pool.map(settle, pieces))
        (self._folder / _PLACES).unlink(missing_ok=True)
        return sums

    def _order(self, first: int, count: int) -> npt.NDArray[np.int32] | None:
        """The index of arrival of the row that belongs at each position of a bucket."""
        if self._seed is None:
            return None
        order = np.empty(count, np.int32)
        if self._places:
            places = np.empty(count, np.int32)
            _read(self._places[0], places, 4 * first)
            order[places] = np.arange(count, dtype=np.int32)
            return order
        for start in range(0, count, _SOME_ROWS):
            stop = min(count, start + _SOME_ROWS)
            order[epoch_rows(self._seed, 0, start, stop, self._rows)] = np.arange(start, stop)
        return order

    def _arrived(self, group: Group, first: int, count: int) -> AnyArray:
        """The rows of a bucket in order of arrival."""
        if self._held:
            return self._held[group.name]
        values = np.empty((count, *group.shape), group.dtype)
        _read(self._files[group.name], values, first * group.row_bytes)
        return values

    def _settle(
        self,
        group: Group,
        arrived: AnyArray,
        order: npt.NDArray[np.int32] | None,
        first: int,
        start: int,
    ) -> int:
        """Write a piece of a bucket in its final order, and return its checksum."""
        stop = min(len(arrived), start + self._piece_rows)
        if order is None:
            return zlib.crc32(as_bytes(arrived[start:stop]))
        piece = np.take(arrived, order[start:stop], axis=0, mode="clip")
        _write(self._files[group.name], piece, (first + start) * group.row_bytes)
        return zlib.crc32(as_bytes(piece))

    def close(self) -> None:
        """Close the files."""
        for handle in (*self._files.values(), *self._places):
            os.close(handle)
        self._files, self._places, self._held = {}, (), {}


def changed_table_error(expected: Mapping[str, int], found: Mapping[str, int]) -> DataError:
    """The error for a table whose rows are not those that were counted."""
    return DataError(
        f"The table changed while it was read: expected {sum(expected.values()):,} rows to "
        f"learn from, found {sum(found.values()):,}. Run the command again when nothing "
        "writes to it."
    )


def _create_file(path: Path) -> int:
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
