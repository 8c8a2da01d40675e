"""Encoded rows with random access by row number; held in memory here, on disk in `mapped_store`."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, final

import numpy as np
import numpy.typing as npt

from descend.data.rows.windows import Windows
from descend.types import Batch

ALIGNMENT = 64
"""Bytes. XLA uses arrays whose address is a multiple of this in place, and copies others."""

Floats = npt.NDArray[np.float32]
AnyArray = npt.NDArray[np.generic]


class RowStore(Protocol):
    """What training needs of a table: its length, and any rows by their numbers."""

    def __len__(self) -> int:
        """Rows in the store."""
        ...

    @property
    def waits(self) -> bool:
        """Whether gathering may wait for a disk, so that it should run in a thread."""
        ...

    @property
    def windows(self) -> Windows | None:
        """The windows in which an epoch reads rows that are not all in memory, or None."""
        ...

    def gather(self, rows: npt.NDArray[np.int64]) -> Batch:
        """A copy of the rows with these numbers, in this order."""
        ...

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        ...

    @property
    def mean_weight(self) -> float:
        """Mean over the rows whose weight is not 0; 1 where there is no such row."""
        ...


@dataclass(frozen=True)
class MemoryStore:
    """A table as arrays in memory.

    Attributes:
        x: the inputs, each `[N, ...]`.
        y: the target `[N, ...]`.
        weight: float32 `[N]`.
    """

    windows: ClassVar[None] = None
    waits: ClassVar[bool] = False
    x: Mapping[str, AnyArray]
    y: AnyArray
    weight: Floats

    def __len__(self) -> int:
        return len(self.weight)

    def gather(self, rows: npt.NDArray[np.int64]) -> Batch:
        """A copy of the rows with these numbers."""
        space = self.space(len(rows))
        self.gather_into(space, rows)
        return space

    def space(self, rows: int) -> Batch:
        """Uninitialised arrays for a number of rows."""
        return Batch(
            x={name: _room(values, rows) for name, values in self.x.items()},
            y=_room(self.y, rows),
            weight=_room(self.weight, rows),
        )

    def gather_into(self, space: Batch, rows: npt.NDArray[np.int64]) -> None:
        """Copy the rows with these numbers to the beginning of arrays from `space`."""
        for name, values in self.x.items():
            _take(values, rows, space.x[name])
        _take(self.y, rows, space.y)
        _take(self.weight, rows, space.weight)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        total = sum(values.nbytes for values in (*self.x.values(), self.y, self.weight))
        return max(1, total // max(1, len(self)))

    @functools.cached_property
    def mean_weight(self) -> float:
        """Mean over the rows whose weight is not 0; 1 where there is no such row."""
        total = float(np.sum(self.weight, dtype=np.float64))
        return total / max(1, int(np.count_nonzero(self.weight))) or 1.0

    def take(self, rows: npt.NDArray[np.int64]) -> MemoryStore:
        """The rows with these numbers as a store of their own."""
        return MemoryStore(*self.gather(rows))

    def padded(self, rows: int) -> MemoryStore:
        """With this number of rows of weight 0, all zeros, after the others."""

        def fill(values: AnyArray) -> AnyArray:
            return np.pad(values, [(0, rows), *[(0, 0)] * (values.ndim - 1)])

        x = {name: fill(values) for name, values in self.x.items()}
        return MemoryStore(x, fill(self.y), np.pad(self.weight, (0, rows)))

    @classmethod
    def joined(cls, parts: Sequence[MemoryStore]) -> MemoryStore:
        """The rows of several stores, at least one."""
        return cls.from_batches([Batch(one.x, one.y, one.weight) for one in parts])

    @classmethod
    def from_batches(cls, parts: Iterable[Batch]) -> MemoryStore:
        """Join batches of rows, at least one, in their order."""
        parts = list(parts)
        return cls(
            x={name: np.concatenate([part.x[name] for part in parts]) for name in parts[0].x},
            y=np.concatenate([part.y for part in parts]),
            weight=np.concatenate([part.weight for part in parts]),
        )


@final
class Filler:
    """Builds a MemoryStore from batches without holding any row in memory twice.

    Args:
        rows: the expected number; with another number the rows are copied once more.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._done = 0
        self._arrays: dict[str, AnyArray] = {}
        self._more: list[Batch] = []

    def add(self, batch: Batch) -> None:
        """Append a copy of a batch."""
        leaves = {**batch.x, "y": batch.y, "weight": batch.weight}
        self._arrays = self._arrays or {
            name: np.empty((self._rows, *values.shape[1:]), values.dtype)
            for name, values in leaves.items()
        }
        stop = self._done + len(batch.weight)
        if self._more or stop > self._rows:
            self._more.append(batch)
            return
        for name, values in leaves.items():
            self._arrays[name][self._done : stop] = values
        self._done = stop

    def store(self) -> MemoryStore:
        """The rows added so far, from at least one batch."""
        arrays = {name: values[: self._done] for name, values in self._arrays.items()}
        x = {name: values for name, values in arrays.items() if name not in ("y", "weight")}
        first = Batch(x, arrays["y"], arrays["weight"])
        return MemoryStore.from_batches([first, *self._more]) if self._more else MemoryStore(*first)


def aligned_array(shape: tuple[int, ...], dtype: npt.DTypeLike) -> AnyArray:
    """An uninitialised array that a device which shares host memory can use without a copy."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    return buffer[start : start + size].view(dtype).reshape(shape)


def _room(like: AnyArray, rows: int) -> AnyArray:
    return aligned_array((rows, *like.shape[1:]), like.dtype)


def _take(values: AnyArray, rows: npt.NDArray[np.int64], space: AnyArray) -> None:
    # mode="clip" keeps NumPy from buffering the result; the row numbers are known to be valid.
    np.take(values, rows, axis=0, mode="clip", out=space[: len(rows)])
