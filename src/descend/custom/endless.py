"""Iterators that never end: noticed by rows that come again, by their number and by the disk."""

from __future__ import annotations

from typing import Any, final

import jax
import numpy as np
from numpy.typing import NDArray

from descend.custom.digests import digest_of
from descend.data.rows.store_header import leaves_of
from descend.errors import DataError, warn_user
from descend.types import Batch

GIB, MANY_ROWS = 1 << 30, 10_000_000
"""An iterator that has given as much is asked about in a warning, and again at twice as much."""
ADVICE = "Give an iterator that ends: itertools.islice(iterator, chunks_of_one_epoch)."
REPEATS = 3
"""An iterator that repeats its first chunk this often is taken to be endless."""
MARKED, AGAIN = 4, 8
"""The first `MARKED` rows of an iterator are looked for in its later chunks. When each of them has
come again `AGAIN` times, the iterator may start over in another order, and the user is warned."""
PROBES = 8
"""Numbers of a row that are compared before the whole row is."""


@final
class EndlessWatch:
    """Looks at the chunks of an iterator, before each is taken.

    Args:
        disk: bytes that its rows may take on disk.
    """

    def __init__(self, disk: float) -> None:
        self._disk = disk
        self._rows = self._bytes = 0
        self._said = 1.0
        self._opening = self._beginning = ""
        self._repeats = 0
        self._marked: list[dict[str, NDArray[Any]]] = []
        self._seen = np.zeros(MARKED, int)

    def look_at(self, batch: Batch) -> None:
        """Look at the rows of the next chunk.

        Raises:
            DataError: the iterator has given its first chunk again and again, or fills the disk.
        """
        # Whole chunks are compared only if their first rows are equal, which costs next to nothing.
        opening = digest_of(jax.tree.map(lambda values: values[:4], batch))
        self._look_for_marked(batch)
        if not self._rows:
            self._opening, self._beginning = opening, digest_of(batch)
        elif opening == self._opening and digest_of(batch) == self._beginning:
            self._repeats += 1
        if self._repeats >= REPEATS:
            raise DataError(
                f"The iterator has given its first chunk again {self._repeats} times, within "
                f"{self._rows:,} rows: it starts over and never ends. {ADVICE}"
            )
        size = f"{self._rows:,} rows ({self._bytes / GIB:.1f} GiB)"
        if self._bytes > self._disk:
            raise DataError(
                f"The iterator has given {size} and has not ended, and the rest of the disk is "
                f"left free. {ADVICE}"
            )
        if max(self._bytes / GIB, self._rows / MANY_ROWS) > self._said:
            self._said *= 2
            warn_user(
                f"The iterator has given {size} so far. If it never ends: Ctrl-C. {ADVICE}",
                UserWarning,
            )
        self._rows += len(batch.weight)
        self._bytes += sum(values.nbytes for values in leaves_of(batch).values())

    def _look_for_marked(self, batch: Batch) -> None:
        """Warn once if the first rows of the iterator have come again and again."""
        leaves = {name: one for name, one in leaves_of(batch).items() if name != "weight"}
        if not self._rows:
            few = (
                [{name: one[row] for name, one in leaves.items()} for row in range(MARKED)]
                if len(batch.weight) >= MARKED
                else []
            )
            alone = all(len(_places(leaves, row)) == 1 for row in few)
            self._marked = few if alone else []  # Rows of a few categories come again by nature.
            return
        if not self._marked or self._seen.min() >= AGAIN:
            return
        self._seen += [len(_places(leaves, row)) for row in self._marked]
        if self._seen.min() >= AGAIN:
            warn_user(
                f"The first rows of the iterator have come again {AGAIN} times, within "
                f"{self._rows + len(batch.weight):,} rows. If it starts over and never ends, stop "
                f"it with Ctrl-C. {ADVICE}",
                UserWarning,
            )


def _places(leaves: dict[str, NDArray[Any]], row: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """The numbers of the rows that are equal to a given one."""
    found = np.arange(len(next(iter(leaves.values()))))
    for name in sorted(row, key=lambda name: row[name].nbytes):
        rows, looked_for = leaves[name].reshape(len(leaves[name]), -1), row[name].reshape(-1)
        for place in range(0, len(looked_for), max(1, len(looked_for) // PROBES)):
            found = found[rows[found, place] == looked_for[place]]
        found = found[(rows[found] == looked_for).all(axis=1)]
    return found
