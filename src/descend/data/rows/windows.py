"""The order of an epoch over rows that are read from disk in large blocks.

The rows of a store on disk are divided into pieces of equal size (the last may be shorter). An
epoch permutes the pieces and reads `span` of them into memory at a time, a window, whose rows are
permuted in turn. All of it is arithmetic on (seed, epoch, position), as in `order`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from descend.data.rows.order import Rows, epoch_rows

_PIECES, _PLACE, _WITHIN = range(3)


class Windows(NamedTuple):
    """How the rows of a store are divided for reading.

    Attributes:
        piece_rows: rows that are read at once, and share a checksum.
        span: pieces of a window, which are in memory and shuffled together.
    """

    piece_rows: int
    span: int

    @property
    def rows(self) -> int:
        """Rows of a full window."""
        return self.piece_rows * self.span


def even_windows(rows: int, piece_rows: int, most_rows: int) -> Windows:
    """The fewest windows of at most `most_rows` rows, all about the same size."""
    pieces = math.ceil(rows / piece_rows)
    windows = math.ceil(pieces / max(1, most_rows // piece_rows))
    return Windows(piece_rows, max(1, math.ceil(pieces / max(1, windows))))


def windowed_rows(
    windows: Windows, seed: int, epoch: int, start: int, stop: int, rows: int
) -> Rows:
    """The row numbers at positions `start` to `stop` of an epoch that is read in windows.

    Arguments and result are those of `epoch_rows`; over a whole epoch each row occurs once.

    Example:
        >>> sorted(windowed_rows(Windows(3, 2), 7, 0, 0, 10, 10).tolist())
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    found = [np.empty(0, np.int64)]
    cut = Cut(windows, seed, epoch, rows)
    while start < stop:
        window = cut.window_at(start)
        first, last = cut.start(window), cut.start(window + 1)
        local = cut.within(window, start - first, min(stop, last) - first)
        found.append(_global(cut.pieces(window), local, windows.piece_rows, rows))
        start = min(stop, last)
    return np.concatenate(found)


class Cut:
    """Where the windows of one epoch begin, and which pieces each holds.

    The full pieces are permuted, and the shorter last one, if any, is inserted at a random
    position. So the start of a window is known without looking at the others.
    """

    def __init__(self, windows: Windows, seed: int, epoch: int, rows: int) -> None:
        self._windows = windows
        self._seed = seed
        self._epoch = epoch
        self._rows = rows
        self._full, rest = divmod(rows, windows.piece_rows)
        self._lacking = windows.piece_rows - rest if rest else 0
        self._total = self._full + bool(rest)
        self._short = self._total  # beyond the end where all pieces are full
        if rest:
            random = np.random.SeedSequence((_key(seed, _PLACE), epoch)).generate_state(
                1, np.uint64
            )
            self._short = int(random[0]) % self._total
        self.count = math.ceil(self._total / windows.span)

    def start(self, window: int) -> int:
        """The position where a window begins."""
        piece = min(window * self._windows.span, self._total)
        return piece * self._windows.piece_rows - (self._lacking if piece > self._short else 0)

    def window_at(self, place: int) -> int:
        """The window that contains a position."""
        window = min(place // self._windows.rows, self.count - 1)
        return window + 1 if place >= self.start(window + 1) else window

    def pieces(self, window: int) -> Rows:
        """The pieces of a window, in their order."""
        first = window * self._windows.span
        last = min(first + self._windows.span, self._total)
        full = epoch_rows(
            _key(self._seed, _PIECES),
            self._epoch,
            first - (first > self._short),
            last - (last > self._short),
            max(1, self._full),
        )
        if first <= self._short < last:
            return np.insert(full, self._short - first, self._full)
        return full

    def within(self, window: int, start: int, stop: int) -> Rows:
        """The order of the rows inside a window, numbered through its pieces."""
        key = _key(self._seed, _WITHIN, window)
        rows = self.start(window + 1) - self.start(window)
        return epoch_rows(key, self._epoch, start, stop, rows)


def _global(pieces: Rows, local: Rows, piece_rows: int, rows: int) -> Rows:
    """Row numbers in the table, from indices into the concatenated pieces of a window."""
    sizes = np.minimum(piece_rows, rows - pieces * piece_rows)
    ends = np.cumsum(sizes)
    turn = np.searchsorted(ends, local, side="right")
    return np.asarray(pieces[turn] * piece_rows + local - (ends - sizes)[turn])


def _key(seed: int, purpose: int, number: int = 0) -> int:
    """A separate seed for each purpose, above 2³², where no user's seed is."""
    return (((number << 2) | purpose) + 1 << 32) | seed
