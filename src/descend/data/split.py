"""Which rows are held out for validation: a function of (row number, fraction, seed).

The same arithmetic in NumPy and in SQL, so that a statistic computed by DuckDB leaves out
exactly the rows that the store later holds out for validation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MASK = 0xFFFFFFFF
# The constants of lowbias32: https://nullprogram.com/blog/2018/07/31/
_FIRST = 0x7FEB352D
_SECOND = 0x846CA68B
_HIGH = 0x9E3779B1


def is_validation(rows: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Whether each row is held out for validation.

    Args:
        rows: source row numbers from 0.
        fraction: of all rows, between 0 and 1.
        seed: another seed holds out other rows.

    Returns:
        A bool array; the row's hash, a number of 32 bits, is less than fraction * 2³².

    Example:
        >>> int(is_validation(np.arange(100_000), 0.1, seed=0).sum())
        9815
    """
    before, between = _keys(seed)
    number = rows.astype(np.uint64)
    value = number & np.uint64(_MASK)
    value ^= ((number >> np.uint64(32)) * np.uint64(_HIGH)) & np.uint64(_MASK)
    value ^= np.uint64(before)
    value ^= value >> np.uint64(16)
    value = (value * np.uint64(_FIRST) + np.uint64(between)) & np.uint64(_MASK)
    value ^= value >> np.uint64(15)
    value = (value * np.uint64(_SECOND)) & np.uint64(_MASK)
    value ^= value >> np.uint64(16)
    return np.asarray(value < np.uint64(_threshold(fraction)))


def is_validation_sql(row: str, fraction: float, seed: int) -> str:
    """The same as a DuckDB expression, true for validation rows.

    Args:
        row: an SQL expression for the source row number from 0.
        fraction: of all rows, between 0 and 1.
        seed: as for `is_validation`.
    """
    before, between = _keys(seed)
    number = f"({row})::UBIGINT"
    # No product reaches 2⁶⁴, where DuckDB would report an overflow.
    value = f"xor({number} & {_MASK}, (({number} >> 32) * {_HIGH}::UBIGINT) & {_MASK})"
    value = f"xor({value}, {before}::UBIGINT)"
    value = f"xor({value}, {value} >> 16)"
    value = f"(({value} * {_FIRST}::UBIGINT + {between}::UBIGINT) & {_MASK})"
    value = f"xor({value}, {value} >> 15)"
    value = f"(({value} * {_SECOND}::UBIGINT) & {_MASK})"
    value = f"xor({value}, {value} >> 16)"
    return f"({value} < {_threshold(fraction)}::UBIGINT)"


def _threshold(fraction: float) -> int:
    return round(fraction * 2**32)


def _keys(seed: int) -> tuple[int, int]:
    """Two numbers of 32 bits from a seed of any size."""
    # Neighbouring seeds must not differ in a few low bits alone, hence SeedSequence.
    before, between = np.random.SeedSequence(seed).generate_state(2, np.uint32)
    return int(before), int(between)
