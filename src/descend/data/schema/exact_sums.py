"""Sums of floats that are the same in whatever order, and by however many processes, they are made.

Each value is rounded to a multiple of one unit, 2⁻⁶¹ of the largest, and the multiples are added as
whole numbers. A sum of doubles keeps 53 bits of the largest value; this one keeps 61.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BITS = 61
"""Of a value; DuckDB adds values of 63 bits to a sum of 127, enough for 2⁶⁶ of them."""
_MOST_SHIFT = 1000
_LIMB = 26
_COUNT_LIMB = 20


@dataclass(frozen=True)
class ExactSum:
    """How values up to a size are summed.

    Attributes:
        shift: a value v counts as the whole number nearest to v · 2^shift.
    """

    shift: int

    def sql(self, value: str) -> str:
        """SQL: the sum as text of a whole number; NULL without a value."""
        return f"sum(({value} * '{math.ldexp(1.0, self.shift)!r}'::DOUBLE)::BIGINT)"

    def mean(self, total: int, count: int) -> float:
        """The total over a count, rounded once."""
        if self.shift >= 0:
            return total / (count << self.shift)
        return (total << -self.shift) / count

    def ratio(self, total: int, other: ExactSum, divisor: int) -> float:
        """The total over the total of another sum, rounded once."""
        shift = self.shift - other.shift
        return total / (divisor << shift) if shift >= 0 else (total << -shift) / divisor

    def value(self, total: int) -> float:
        """The total as a float."""
        return self.mean(total, 1)


def sum_up_to(largest: float) -> ExactSum:
    """The sum of values whose size is at most `largest`, which is finite.

    >>> sum = sum_up_to(1000.0)
    >>> sum.mean(3 << sum.shift, 4)
    0.75
    """
    exponent = math.frexp(largest)[1]
    return ExactSum(min(_BITS - exponent, _MOST_SHIFT))


def sum_of_squares(mean: float, low: float, high: float) -> ExactSum | None:
    """How squares of distances from a mean are summed; None where they exceed floating point.

    Args:
        mean: of the values.
        low: the least value.
        high: the greatest.
    """
    largest = max(abs(low - mean), abs(high - mean))
    return sum_up_to(largest * largest) if math.isfinite(largest * largest) else None


def weighted_total(values: NDArray[np.float64], counts: NDArray[np.int64], shift: int) -> int:
    """Σ round(v · 2^shift) · n as a whole number.

    Args:
        values: |v| · 2^shift below 2⁵².
        counts: below 2⁴⁰, at most 2¹⁶ of them.
        shift: bits behind the point.
    """
    whole = np.rint(np.ldexp(values, shift)).astype(np.int64)
    # Products of the parts fit in 63 bits, and so do their sums.
    high, low = whole >> _LIMB, whole & ((1 << _LIMB) - 1)
    many, few = counts >> _COUNT_LIMB, counts & ((1 << _COUNT_LIMB) - 1)
    return (
        (int(high @ many) << (_LIMB + _COUNT_LIMB))
        + (int(high @ few) << _LIMB)
        + (int(low @ many) << _COUNT_LIMB)
        + int(low @ few)
    )


def weighted_squares(values: NDArray[np.float64], counts: NDArray[np.int64], shift: int) -> int:
    """Σ round(v · 2^shift)² · n as a whole number; arguments as for `weighted_total`."""
    whole = np.rint(np.ldexp(values, shift)).astype(np.int64)
    high, low = whole >> _LIMB, whole & ((1 << _LIMB) - 1)
    total = 0
    # (high · 2^26 + low)², each product below 2⁵² and exact as a float.
    for product, at in ((high * high, 2 * _LIMB), (high * low, _LIMB + 1), (low * low, 0)):
        total += weighted_total(product.astype(np.float64), counts, 0) << at
    return total
