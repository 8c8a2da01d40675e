"""Validation rows that are copies of training rows: they say nothing about new rows."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from descend.types import Batch

MOST_LEARNED = 50_000
"""Training rows among which copies are looked for."""
MOST_LOOKED_FOR = 2_000
"""Validation rows that are looked for."""
LEAST_COPIES = 5
"""Fewer copies among the rows that are looked at are not told."""
AGREEING = 0.95
"""Share of pairs with equal inputs that must have equal targets, too. Rows of few different values
are often equal by chance; then their targets differ as often as the noise of the target has it."""
MOST_ALIKE = 10
"""Most training rows, on average, that equal one: with more, the columns have few values."""


def share_of_copies(validation: Batch, training: Batch, learned: int) -> float | None:
    """The share of the validation rows that are in the training rows too, with their target.

    Columns that are left out, such as identifiers, are not compared.

    Args:
        validation: some rows of it.
        training: some rows of it.
        learned: number of all training rows; if `training` is a part of them, so are the copies
            that are found, and the share is an estimate.

    Returns:
        The share; None where the rows that are found may be equal by chance, or are few.
    """
    known: dict[bytes, Counter[bytes]] = defaultdict(Counter)
    for inputs, target in _rows(training, MOST_LEARNED):
        known[inputs][target] += 1
    looked_for = found = pairs = equal = 0
    for inputs, target in _rows(validation, MOST_LOOKED_FOR):
        looked_for += 1
        same = known.get(inputs)
        if same is not None:
            found += same[target] > 0
            pairs += same.total()
            equal += same[target]
    if found < LEAST_COPIES or equal < AGREEING * pairs or pairs > MOST_ALIKE * found:
        return None
    drawn = min(len(training.weight), MOST_LEARNED)
    return min(1.0, found / looked_for * max(1.0, learned / drawn))


def _rows(batch: Batch, most: int) -> list[tuple[bytes, bytes]]:
    """The bytes of the inputs and of the target of each row."""
    count = min(len(batch.weight), most)
    parts = [np.asarray(values)[:count] for _, values in sorted(batch.x.items())]
    flat = [
        np.ascontiguousarray(one).reshape(count, -1).view(np.uint8) for one in parts if one.size
    ]
    inputs = np.concatenate(flat, axis=1) if flat else np.zeros((count, 0), np.uint8)
    targets = np.asarray(batch.y)[:count]
    return [(row.tobytes(), target.tobytes()) for row, target in zip(inputs, targets, strict=True)]
