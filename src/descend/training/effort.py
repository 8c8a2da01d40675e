"""How many epochs the tabular network trains, by effort and number of rows."""

from __future__ import annotations

import math

from descend.defaults import EFFORTS, FEWEST_EPOCHS, FULL_EPOCHS_ROWS


def planned_epochs(effort: str, rows: int) -> int:
    """Epochs of an effort: beyond 50,000 rows, inversely as the square root of their number.

    >>> [planned_epochs("default", rows) for rows in (1_000, 50_000, 10_000_000)]
    [40, 40, 3]
    """
    full = EFFORTS[effort].epochs
    reduced = full * min(1.0, math.sqrt(FULL_EPOCHS_ROWS / rows))
    return max(min(FEWEST_EPOCHS, full), round(reduced))
