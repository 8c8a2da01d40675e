"""Values of a column that matter one by one, as those of codes do, and not by their order.

A postal code, the number of a shop or of a product is a number, and 4711 has little to do with
4712. Bins cannot show that where a column has more values than bins. So a column of many values is
learned as a category too if the target says so: if what the bins leave of it is predicted by the
mean of the other rows of the same value, or of a few neighbouring values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

MOST_VALUES = 1024
"""Values that may have an embedding each."""
BANDS = (256, 1024)
"""Numbers of groups of neighbouring values that are tried, all groups with equally many rows."""
LEAST_ROWS = 8
"""Mean number of rows of such a group."""
LEAST_GAIN = 0.01
"""Part of the variance of the target that the groups have to explain beyond the bins. Where only
the order of the numbers matters they explain less than nothing: each mean is that of few rows."""
SHRINKING = 5.0
"""Rows of the mean 0 that are added to each group."""
LEAST_KNOWN = 0.4
"""Part of the validation rows that have to lie where training rows do."""
MOST_CLASSES = 16
"""Classes, the most frequent ones, that are looked at."""
LEAN = 0.51
"""Where two values part, as a share of the way between them. Not in the middle: a rarer value
often lies there, and the rounding of float32 would decide which of the two it takes."""

_TINY = np.finfo(np.float64).tiny


def without_twins(numeric: Floats, target: npt.NDArray[Any]) -> Places:
    """The rows without repetitions of one row, which would tell of each other by any column.

    Args:
        numeric: `[n, d]`, the columns of many values: where they agree, a row is the same.
        target: `[n, k]` numbers, which have to agree too, or `[n]` codes of classes. With one
            column no row is taken for a repetition: the target may follow from it.

    Returns:
        Places of the first of equal rows, rising.
    """
    if numeric.shape[1] < 2:
        return np.arange(len(numeric))
    parts = [numeric] if target.ndim == 1 else [numeric, np.asarray(target, np.float32)]
    key = np.ascontiguousarray(np.concatenate(parts, axis=1))
    rows = key.view(np.dtype((np.void, key.itemsize * key.shape[1]))).ravel()
    return np.sort(np.unique(rows, return_index=True)[1])


class GroupsOf:
    """Looks for groups of values in the columns of a sample of training rows."""

    def __init__(self, target: npt.NDArray[Any], weight: Floats | None) -> None:
        """Take the target and the weights of the rows.

        Args:
            target: `[n, k]` numbers or `[n]` codes of classes.
            weight: `[n]`; None: all count alike.
        """
        self._targets = _as_numbers(target)
        rows = len(self._targets)
        self._weight = np.ones(rows) if weight is None else weight / np.mean(weight, dtype=float)
        mean = np.average(self._targets, axis=0, weights=self._weight)
        variance = self._weight @ np.sum((self._targets - mean) ** 2, axis=1)
        self._least = LEAST_GAIN * float(variance)

    def find(
        self, column: Floats, edges: Floats, single: Floats | None, held_out: Floats
    ) -> Floats | None:
        """Where groups of values part, rising; None where the groups do not matter.

        Args:
            column: `[n]`.
            edges: of the bins of the column, rising.
            single: where its frequent values part, if there are few enough for one group each.
            held_out: `[m]`, the validation rows; may be empty.
        """
        if len(held_out):
            inside = (held_out >= edges[0]) & (held_out <= edges[-1])
            if inside.mean() < LEAST_KNOWN:
                return None
        order = np.argsort(column)
        values = column[order]
        weight, targets = self._weight[order, None], self._targets[order]
        left = _left_by_bins(values, targets, weight, edges[1:-1])
        sums = _Sums(weight, weight * left, weight * left**2, weight**2)
        before = float(np.sum(weight * left**2))
        best, most = None, self._least
        for middles in _candidates(values, single):
            gain = before - sums.error_of_others(np.searchsorted(values, middles))
            if gain > most:
                best, most = middles, gain
        return best


class _Sums:
    """Sums of rows in the order of a column, from which those of its groups are differences."""

    def __init__(self, *rows: Doubles) -> None:
        self._until = [np.cumsum(np.vstack([np.zeros_like(one[:1]), one]), axis=0) for one in rows]

    def error_of_others(self, borders: Places) -> float:
        """The squared error where each row is predicted by the other rows of its group.

        With N rows in a group, S the sum of what is left in them, Q that of its squares, and m =
        N − 1 + `SHRINKING`, it is the sum of (r − (S − r)/m)² = (1 + 1/m)²·Q − 2(1 + 1/m)·S²/m +
        N·S²/m². Weights count rows; 1 is then their mean in the group.
        """
        ends = np.concatenate([[0], borders, [len(self._until[0]) - 1]])
        count, total, squares, of_weights = (np.diff(one[ends], axis=0) for one in self._until)
        own = of_weights / np.maximum(count, _TINY)
        others = count - own + SHRINKING
        grown = 1.0 + own / others
        error = grown**2 * squares - 2 * grown * total**2 / others + count * (total / others) ** 2
        return float(np.sum(error))


def _left_by_bins(values: Floats, targets: Doubles, weight: Doubles, inner: Floats) -> Doubles:
    """`[n, k]`: what a straight line in each bin leaves of the targets; rows as `values` rise."""
    starts = np.concatenate([[0], np.searchsorted(values, inner), [len(values)]])
    starts = np.unique(starts)
    lengths = np.diff(starts)

    def mean(rows: Doubles) -> Doubles:
        """`[n, k]`: that of the rows of each row's bin."""
        found = np.add.reduceat(weight * rows, starts[:-1]) / of_bins
        return np.repeat(found, lengths, axis=0)

    of_bins = np.maximum(np.add.reduceat(weight, starts[:-1]), _TINY)
    x = values[:, None].astype(np.float64)
    x = x - mean(x)
    y = targets - mean(targets)
    return np.asarray(y - mean(x * y) / np.maximum(mean(x * x), _TINY) * x)


def _as_numbers(target: npt.NDArray[Any]) -> Doubles:
    """`[n, k]`: numbers of one scale; of a class 1, and 0 for all others."""
    if target.ndim == 1:
        codes, counts = np.unique(target, return_counts=True)
        frequent = codes[np.argsort(-counts, kind="stable")[:MOST_CLASSES]]
        return np.asarray(target[:, None] == frequent[None, :], np.float64)
    found = np.asarray(target, np.float64)
    return np.asarray(found / np.maximum(found.std(axis=0), _TINY))


def _candidates(values: Floats, single: Floats | None) -> Iterator[Floats]:
    """Where groups may part; `values` rise."""
    if single is not None:
        yield single
    rows = len(values)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1, [rows]])
    middle_row = (starts[:-1] + starts[1:]) / 2
    for bands in BANDS:
        if len(middle_row) > bands and rows >= LEAST_ROWS * bands:
            last = starts[np.flatnonzero(np.diff(np.floor(middle_row * (bands / rows)))) + 1]
            below, above = values[last - 1], values[last]
            yield np.asarray(below + LEAN * (above - below), np.float32)
