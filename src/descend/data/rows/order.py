"""The order of the rows in an epoch, as arithmetic on (seed, epoch, index).

Nothing is stored, so a run can begin at any position, and several processes can each take their
slice of the same order. Memory is bounded: up to `EXACT_ROWS` rows the permutation is drawn
outright (uniform over all permutations); beyond, a Feistel network over a grid of about √N × √N
cells with random round tables permutes the row numbers (Black & Rogaway 2002, "Ciphers with
arbitrary finite domains", section 4).
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

EXACT_ROWS = 1 << 20
ROUNDS = 8

Rows = npt.NDArray[np.int64]


def epoch_rows(seed: int, epoch: int, start: int, stop: int, rows: int) -> Rows:
    """The row numbers at places `start` to `stop` of an epoch's order.

    Args:
        seed: of the run; another seed gives other orders.
        epoch: from 0; every epoch is a fresh permutation of `range(rows)`.
        start: first place, from 0.
        stop: one past the last place, at most `rows`.
        rows: rows in the table.

    Returns:
        int64 `[stop - start]`; over a whole epoch each row stands exactly once.

    Example:
        >>> sorted(epoch_rows(seed=7, epoch=0, start=0, stop=5, rows=5).tolist())
        [0, 1, 2, 3, 4]
    """
    if rows <= EXACT_ROWS:
        return _exact_order(seed, epoch, rows)[start:stop]
    return _feistel(np.arange(start, stop, dtype=np.int64), _rounds(seed, epoch, rows), rows)


class _Rounds(NamedTuple):
    """A grid of `height` × `width` cells, at least as many as rows, and its round tables."""

    height: int
    width: int
    tables: tuple[Rows, ...]


@functools.lru_cache(maxsize=2)
def _exact_order(seed: int, epoch: int, rows: int) -> Rows:
    order = _generator(seed, epoch).permutation(rows)
    order.flags.writeable = False
    return order


@functools.lru_cache(maxsize=2)
def _rounds(seed: int, epoch: int, rows: int) -> _Rounds:
    height = math.isqrt(rows - 1) + 1
    width = -(-rows // height)
    random = _generator(seed, epoch)
    tables = tuple(
        random.integers(height, size=width)
        if turn % 2 == 0
        else random.integers(width, size=height)
        for turn in range(ROUNDS)
    )
    return _Rounds(height, width, tables)


def _feistel(places: Rows, rounds: _Rounds, rows: int) -> Rows:
    """Permute the cells; a place that lands beyond the rows walks on until it does not."""
    high, low = np.divmod(places, rounds.width)
    for turn, table in enumerate(rounds.tables):
        if turn % 2 == 0:
            high = _add_modulo(high, table[low], rounds.height)
        else:
            low = _add_modulo(low, table[high], rounds.width)
    moved = high * rounds.width + low
    beyond = np.flatnonzero(moved >= rows)
    if beyond.size:
        moved[beyond] = _feistel(moved[beyond], rounds, rows)
    return moved


def _add_modulo(left: Rows, right: Rows, modulus: int) -> Rows:
    total = left + right
    total -= modulus * (total >= modulus)
    return total


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, epoch))))
