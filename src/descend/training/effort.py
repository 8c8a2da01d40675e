"""How much the tabular network trains: members and epochs, by one word."""

from __future__ import annotations

import math
from typing import NamedTuple


class Effort(NamedTuple):
    """What a word of `--effort` stands for.

    Attributes:
        members: networks in one.
        epochs: passes over a table of up to `PLENTY` rows.
    """

    members: int
    epochs: int


EFFORTS: dict[str, Effort] = {
    "quick": Effort(members=1, epochs=12),
    "default": Effort(members=4, epochs=20),
    "thorough": Effort(members=16, epochs=40),
}
PLENTY = 100_000
FEWEST_EPOCHS = 3


def planned_epochs(effort: Effort, rows: int) -> int:
    """Passes over the rows: fewer over many of them, as the root of their number.

    >>> [planned_epochs(EFFORTS["default"], rows) for rows in (1_000, 100_000, 10_000_000)]
    [20, 20, 3]
    """
    part = min(1.0, math.sqrt(PLENTY / rows))
    return max(min(FEWEST_EPOCHS, effort.epochs), round(effort.epochs * part))
