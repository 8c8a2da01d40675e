"""The order of an epoch over rows that are read in large pieces.

The rows of a store on disk stand in pieces of equal size; the last may be short. An epoch goes
through windows: the pieces are permuted, every `span` of them in turn are read into memory, and
their rows are permuted. All of it is arithmetic on (seed, epoch, place), as in `order`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from descend.data.rows.order import Rows, epoch_rows

_PIECES, _PLACE, _WITHIN = range(3)


class Windows(NamedTuple):
    """How rows are cut for reading.

    Attributes:
        piece_rows: rows that are read at a stretch.
        span: pieces that are in memory, and shuffled, together.
    """

    piece_rows: int
    span: int

    @property
    def rows(self) -> int:
        """Rows of a full window."""
        return self.piece_rows * self.span


def even_windows(rows: int, piece_rows: int, most_rows: int) -> Windows:
    """Windows of at most `most_rows` rows, as few as can be and of about one size."""
    pieces = math.ceil(rows / piece_rows)
    windows = math.ceil(pieces / max(1, most_rows // piece_rows))
    return Windows(piece_rows, max(1, math.ceil(pieces / max(1, windows))))


def windowed_rows(
    windows: Windows, seed: int, epoch: int, start: int, stop: int, rows: int
) -> Rows:
    """The row numbers at places `start` to `stop` of an epoch that goes through windows.

    Arguments and result are those of `epoch_rows`; over a whole epoch each row stands once.

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
    """Where the windows of one epoch begin, and which pieces they hold.

    The full pieces are permuted; the short one, where there is one, is put at a random place
    among them. So where a window begins is known without looking at the others.
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
        """The place where a window begins."""
        piece = min(window * self._windows.span, self._total)
        return piece * self._windows.piece_rows - (self._lacking if piece > self._short else 0)

    def window_at(self, place: int) -> int:
        """The window that holds a place."""
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
    """Row numbers in the table of rows numbered through the pieces of a window."""
    sizes = np.minimum(piece_rows, rows - pieces * piece_rows)
    ends = np.cumsum(sizes)
    turn = np.searchsorted(ends, local, side="right")
    return np.asarray(pieces[turn] * piece_rows + local - (ends - sizes)[turn])


def _key(seed: int, purpose: int, number: int = 0) -> int:
    """A seed of its own for each use; beyond 2³², where no user's seed is."""
    return (((number << 2) | purpose) + 1 << 32) | seed
