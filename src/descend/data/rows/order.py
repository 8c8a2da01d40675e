"""The order of the rows in an epoch, as arithmetic on (seed, epoch, index).

Nothing is stored, so a run can begin at any position, and several processes can each take their
slice of the same order. Small tables get a permutation drawn outright, uniform over all
permutations. In larger ones a Feistel network over a grid of about √N × √N cells permutes the row
numbers (Black & Rogaway 2002, "Ciphers with arbitrary finite domains", section 4).

There are two orders; a run always keeps the one it began with:

- `DRAWN`: permutations are drawn up to 2²⁰ rows; the round functions beyond are drawn too.
- `HASHED`: permutations are drawn up to 2¹⁸ rows; the round functions beyond are hashes in 32-bit
  arithmetic, which a device computes for itself (`training.resident`).
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

DRAWN, HASHED = 1, 2
"""The orders, as the numbers that records hold."""
MOST_DRAWN = {DRAWN: 1 << 20, HASHED: 1 << 18}
"""Largest table whose permutation is drawn outright. Up to about 2¹⁸ rows this is faster on a CPU
(12 ns a row at 100,000 rows, against 16 ns); in larger tables it misses the cache and is slower."""
MOST_HASHED = (1 << 31) - (1 << 17)
"""Largest table for which 32 bits suffice; the round functions of larger ones are always drawn."""
ROUNDS = 8
GOLDEN, MIX_1, MIX_2 = 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35
"""Multipliers of the hash: 2³² over the golden ratio, and those of MurmurHash3's finalizer."""

Rows = npt.NDArray[np.int64]
AnyRows = npt.NDArray[Any]


def epoch_rows(seed: int, epoch: int, start: int, stop: int, rows: int, order: int = DRAWN) -> Rows:
    """The row numbers at positions `start` to `stop` of an epoch's order.

    Args:
        seed: of the run; another seed gives other orders.
        epoch: from 0; every epoch is a fresh permutation of `range(rows)`.
        start: first position, from 0.
        stop: one past the last position, at most `rows`.
        rows: rows in the table.
        order: `DRAWN` or `HASHED`.

    Returns:
        int64 `[stop - start]`; over a whole epoch each row occurs exactly once.

    Example:
        >>> sorted(epoch_rows(seed=7, epoch=0, start=0, stop=5, rows=5).tolist())
        [0, 1, 2, 3, 4]
    """
    if is_drawn(order, rows):
        return _exact_order(seed, epoch, rows)[start:stop]
    if order == DRAWN or rows > MOST_HASHED:
        return _feistel(np.arange(start, stop, dtype=np.int64), _rounds(seed, epoch, rows), rows)
    rounds = _hashed_rounds(seed, epoch, rows)
    return _feistel(np.arange(start, stop, dtype=np.int32), rounds, rows).astype(np.int64)


def is_drawn(order: int, rows: int) -> bool:
    """Whether the permutation of a table is drawn outright, so that it is an array."""
    return rows <= MOST_DRAWN[order]


def grid_of(rows: int) -> tuple[int, int]:
    """Height and width of the grid: height · width is at least `rows` and barely more."""
    height = math.isqrt(rows - 1) + 1
    return height, -(-rows // height)


def round_keys(seed: int, epoch: int) -> npt.NDArray[np.uint32]:
    """uint32 `[ROUNDS]`: the keys of the hashes of an epoch."""
    keys = np.random.SeedSequence((seed, epoch)).generate_state(ROUNDS, np.uint32)
    return keys.astype(np.uint32)


def range_bits(size: int) -> int:
    """Bits of a hash that are scaled to `range(size)`: as many as fit into 32-bit products."""
    return 32 - size.bit_length()


class _Rounds(NamedTuple):
    """A grid of `height` × `width` cells, at least as many as rows, and its round tables."""

    height: int
    width: int
    tables: tuple[AnyRows, ...]


@functools.lru_cache(maxsize=2)
def _exact_order(seed: int, epoch: int, rows: int) -> Rows:
    order = _generator(seed, epoch).permutation(rows)
    order.flags.writeable = False
    return order


@functools.lru_cache(maxsize=2)
def _rounds(seed: int, epoch: int, rows: int) -> _Rounds:
    height, width = grid_of(rows)
    random = _generator(seed, epoch)
    tables = tuple(
        random.integers(height, size=width)
        if turn % 2 == 0
        else random.integers(width, size=height)
        for turn in range(ROUNDS)
    )
    return _Rounds(height, width, tables)


@functools.lru_cache(maxsize=2)
def _hashed_rounds(seed: int, epoch: int, rows: int) -> _Rounds:
    """The hashes of all coordinates: √N of them for each round."""
    height, width = grid_of(rows)
    tables = []
    for turn, key in enumerate(round_keys(seed, epoch)):
        count, size = (width, height) if turn % 2 == 0 else (height, width)
        hashes = _hash(np.arange(count, dtype=np.uint32), key)
        bits = range_bits(size)
        scaled = ((hashes >> np.uint32(32 - bits)) * np.uint32(size)) >> np.uint32(bits)
        tables.append(scaled.astype(np.int32))
    return _Rounds(height, width, tuple(tables))


def _hash(values: npt.NDArray[np.uint32], key: np.uint32) -> npt.NDArray[np.uint32]:
    """A hash of 32-bit numbers under a key, in arithmetic modulo 2³²."""
    with np.errstate(over="ignore"):
        x = values * np.uint32(GOLDEN) + key
        x = (x ^ (x >> np.uint32(16))) * np.uint32(MIX_1)
        x = (x ^ (x >> np.uint32(13))) * np.uint32(MIX_2)
    mixed: npt.NDArray[np.uint32] = x ^ (x >> np.uint32(16))
    return mixed


def _feistel(places: AnyRows, rounds: _Rounds, rows: int) -> AnyRows:
    """Permute the cells; a result beyond the last row is permuted again until it is a row."""
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


def _add_modulo(left: AnyRows, right: AnyRows, modulus: int) -> AnyRows:
    total = left + right
    total -= modulus * (total >= modulus)
    return total


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, epoch))))
