"""Rows of which only the inputs that differ from a base are held, in memory."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import numpy as np
import numpy.typing as npt

from descend.data.rows.store import AnyArray, Floats
from descend.types import Batch

LEAST_WIDTH = 8
"""Entries for which a row of a batch has room at least."""


class SparseInputs(NamedTuple):
    """The inputs of some rows, of which most are equal to the base of their column.

    Input j of row i is base[j], or base[j] + value[e] where an entry e of the row has
    column[e] = j. The entries of row i are those from start[i] to start[i + 1].

    Attributes:
        start: int64 `[n + 1]`.
        column: int32 `[entries]`.
        value: float32 `[entries]`.
    """

    start: npt.NDArray[np.int64]
    column: npt.NDArray[np.int32]
    value: Floats

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.start) - 1

    @property
    def longest(self) -> int:
        """Entries of the row that has the most; at least 1."""
        return max(1, int(np.diff(self.start).max(initial=0)))

    def take(self, rows: npt.NDArray[np.int64]) -> SparseInputs:
        """The rows with these numbers."""
        length = np.diff(self.start)[rows]
        start = np.concatenate([[0], np.cumsum(length)])
        entries = np.repeat(self.start[rows] - start[:-1], length) + np.arange(start[-1])
        return SparseInputs(start, self.column[entries], self.value[entries])

    def padded(self, rows: npt.NDArray[np.int64], least: int = LEAST_WIDTH) -> dict[str, AnyArray]:
        """`column` and `value`, each `[rows, width]`, of the rows with these numbers.

        The width is that of the longest of them, rounded up to one of few widths. An entry that
        fills a row up has column 0 and value 0, which changes nothing.

        Args:
            rows: their numbers.
            least: the least width.
        """
        first, length = self.start[rows], np.diff(self.start)[rows]
        width = round_up(max(least, int(length.max(initial=0))))
        if not len(self.column):
            shape = (len(rows), width)
            return {"column": np.zeros(shape, np.int32), "value": np.zeros(shape, np.float32)}
        lane = np.arange(width)
        entries = np.minimum(first[:, None] + lane, len(self.column) - 1)
        beyond = lane >= length[:, None]
        column, value = self.column[entries], self.value[entries]
        column[beyond] = 0
        value[beyond] = 0.0
        return {"column": column, "value": value}


def round_up(width: int) -> int:
    """A width of at least this, of which there are two between a power of two and the next.

    Each width is compiled by itself, so few of them are used.

    >>> [round_up(width) for width in (1, 9, 12, 13, 17, 25)]
    [8, 12, 12, 16, 24, 32]
    """
    power = max(LEAST_WIDTH, 1 << (width - 1).bit_length())
    return power * 3 // 4 if power > LEAST_WIDTH and width <= power * 3 // 4 else power


@final
@dataclass(frozen=True)
class SparseStore:
    """A table whose inputs are sparse, in memory; a batch of it has the leaves `column`, `value`.

    Attributes:
        inputs: of the rows.
        y: the target `[N, ...]`.
        weight: float32 `[N]`.
    """

    windows: ClassVar[None] = None
    waits: ClassVar[bool] = False
    inputs: SparseInputs
    y: AnyArray
    weight: Floats

    def __len__(self) -> int:
        return len(self.weight)

    def gather(self, rows: npt.NDArray[np.int64]) -> Batch:
        """A copy of the rows with these numbers, in this order."""
        return Batch(self.inputs.padded(rows), self.y[rows], self.weight[rows])

    def take(self, rows: npt.NDArray[np.int64]) -> SparseStore:
        """The rows with these numbers as a store of their own."""
        return SparseStore(self.inputs.take(rows), self.y[rows], self.weight[rows])

    def padded(self, rows: int) -> SparseStore:
        """With this number of rows of weight 0 and without entries after the others."""
        start = np.pad(self.inputs.start, (0, rows), mode="edge")
        y = np.pad(self.y, [(0, rows), *[(0, 0)] * (self.y.ndim - 1)])
        return SparseStore(self.inputs._replace(start=start), y, np.pad(self.weight, (0, rows)))

    @functools.cached_property
    def row_bytes(self) -> int:
        """Bytes of the longest row in a batch, so that what is planned by it stays in bounds."""
        dense = (self.y.nbytes + self.weight.nbytes) // max(1, len(self))
        return 8 * round_up(self.inputs.longest) + dense

    @functools.cached_property
    def mean_weight(self) -> float:
        """Mean over the rows whose weight is not 0; 1 where there is no such row."""
        total = float(np.sum(self.weight, dtype=np.float64))
        return total / max(1, int(np.count_nonzero(self.weight))) or 1.0

    @classmethod
    def joined(cls, parts: Sequence[SparseStore]) -> SparseStore:
        """The rows of several stores, at least one."""
        lengths = [np.diff(part.inputs.start) for part in parts]
        inputs = SparseInputs(
            np.concatenate([[0], np.cumsum(np.concatenate(lengths))]),
            np.concatenate([part.inputs.column for part in parts]),
            np.concatenate([part.inputs.value for part in parts]),
        )
        y = np.concatenate([part.y for part in parts])
        return cls(inputs, y, np.concatenate([part.weight for part in parts]))
