"""Validation rows that are copies of training rows: they say nothing about new rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from descend.types import Batch

Bytes = npt.NDArray[np.uint8]

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
    learned_inputs, learned_targets = _bytes_of(training, MOST_LEARNED)
    inputs_looked_for, targets_looked_for = _bytes_of(validation, MOST_LOOKED_FOR)
    # Hardly any row has the checksum of another; the others need not be compared byte by byte.
    likely = np.isin(_checksums(learned_inputs), _checksums(inputs_looked_for))
    known: dict[bytes, Counter[bytes]] = defaultdict(Counter)
    for inputs, target in _pairs(learned_inputs[likely], learned_targets[likely]):
        known[inputs][target] += 1
    looked_for = found = pairs = equal = 0
    for inputs, target in _pairs(inputs_looked_for, targets_looked_for):
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


def _bytes_of(batch: Batch, most: int) -> tuple[Bytes, npt.NDArray[Any]]:
    """The bytes of the inputs of each row `[n, b]`, and the targets `[n, ...]`."""
    count = min(len(batch.weight), most)
    parts = [np.asarray(values)[:count] for _, values in sorted(batch.x.items())]
    flat = [
        np.ascontiguousarray(one).reshape(count, -1).view(np.uint8) for one in parts if one.size
    ]
    inputs = np.concatenate(flat, axis=1) if flat else np.zeros((count, 0), np.uint8)
    return inputs, np.asarray(batch.y)[:count]


def _checksums(rows: Bytes) -> npt.NDArray[np.uint64]:
    """`[n]`: equal for equal rows, and hardly ever for others."""
    width = rows.shape[1]
    words = np.pad(rows, [(0, 0), (0, -width % 4)]).view(np.uint32)
    bits = np.random.default_rng(0).bytes(8 * words.shape[1])
    # Odd, so that no word is lost modulo 2⁶⁴.
    factors = np.frombuffer(bits, np.uint64) | np.uint64(1)
    found = np.zeros(len(rows), np.uint64)
    for place, factor in enumerate(factors):
        found += words[:, place] * factor
    return found


def _pairs(inputs: Bytes, targets: npt.NDArray[Any]) -> Iterator[tuple[bytes, bytes]]:
    return ((row.tobytes(), one.tobytes()) for row, one in zip(inputs, targets, strict=True))
