"""Training rows that are shared out: each of several processes holds a part, nobody the whole.

A batch of B rows takes from each part what is its share of all N rows, and the parts keep their own
shuffled orders. That is stratified sampling with proportional allocation: every row occurs once in
an epoch, each row is as likely as any other to be in a batch, and the mean over a batch varies no
more than that of rows drawn from the whole table (Cochran 1977, Sampling Techniques, section 5.6).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from descend.data.rows.store import MemoryStore, RowStore
from descend.types import Batch


@dataclass(frozen=True)
class SharedStore:
    """The rows of a table of which this process holds a part.

    Attributes:
        own: the rows of this process.
        index: of this process.
        sizes: rows of each process.
        sample: some rows drawn from the whole table, the same in every process.
        mean_weight: of the whole table.
    """

    windows: ClassVar[None] = None
    own: RowStore
    index: int
    sizes: tuple[int, ...]
    sample: MemoryStore
    mean_weight: float

    def __len__(self) -> int:
        return sum(self.sizes)

    @property
    def waits(self) -> bool:
        """Whether gathering may wait for a disk."""
        return self.own.waits

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.sample.row_bytes

    @property
    def first(self) -> int:
        """The number of the first row of this process."""
        return sum(self.sizes[: self.index])

    def gather(self, rows: npt.NDArray[np.int64]) -> Batch:
        """A copy of the rows with these numbers.

        Raises:
            IndexError: one of them is a row of another process.
        """
        own = rows - self.first
        if len(own) and not (int(own.min()) >= 0 and int(own.max()) < len(self.own)):
            raise IndexError(
                f"Process {self.index} has the rows {self.first:,} to "
                f"{self.first + len(self.own):,} of a table that is shared out; asked for "
                f"{int(rows.min()):,} to {int(rows.max()):,}."
            )
        return self.own.gather(own)

    def own_before(self, places: Sequence[int]) -> list[int]:
        """How many rows of this process are among the first rows of an epoch.

        Args:
            places: numbers of rows, at most `len(self)`.

        Returns:
            For each the number of own rows. Over all processes it sums to the number of rows; it
            never falls, and rises by one at most from one place to the next.
        """
        found = list(places)
        for part, whole, left in self._way:
            # The left half rounds down, the right half has the rest.
            found = [
                place * part // whole if left else place - place * (whole - part) // whole
                for place in found
            ]
        return found

    def most_in(self, batch_size: int) -> int:
        """The most rows of a batch that any process has, at least 1."""
        return max(1, *(_most_in(_way_to(self.sizes, one), batch_size) for one in self._indices))

    @property
    def _indices(self) -> range:
        return range(len(self.sizes))

    @functools.cached_property
    def _way(self) -> list[tuple[int, int, bool]]:
        return _way_to(self.sizes, self.index)


def _way_to(sizes: Sequence[int], index: int) -> list[tuple[int, int, bool]]:
    """How the processes are halved until one is left.

    Returns:
        For each step the rows in its half, the rows of both halves, and whether it is the left.
    """
    way, low, high = [], 0, len(sizes)
    while high - low > 1:
        middle = (low + high) // 2
        whole, left = max(1, sum(sizes[low:high])), index < middle
        low, high = (low, middle) if left else (middle, high)
        way.append((sum(sizes[low:high]), whole, left))
    return way


def _most_in(way: Sequence[tuple[int, int, bool]], batch_size: int) -> int:
    most = batch_size
    for part, whole, _ in way:
        most = -(-most * part // whole)
    return most
