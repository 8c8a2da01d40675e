"""Copies of training rows among the validation rows."""

from __future__ import annotations

import numpy as np
import pytest

from descend.assessment.copies import share_of_copies
from descend.types import Batch


def rows(count: int, seed: int, *, values: int = 0) -> Batch:
    """Rows of numbers, or of few values, with a noisy target."""
    random = np.random.default_rng(seed)
    numeric = random.normal(size=(count, 3)).astype(np.float32)
    if values:
        numeric = random.integers(values, size=(count, 3)).astype(np.float32)
    codes = random.integers(4, size=(count, 2)).astype(np.int32)
    y = random.integers(2, size=count).astype(np.int32)
    return Batch({"numeric": numeric, "category": codes}, y, np.ones(count, np.float32))


def joined(one: Batch, other: Batch) -> Batch:
    x = {name: np.concatenate([one.x[name], other.x[name]]) for name in one.x}
    return Batch(x, np.concatenate([one.y, other.y]), np.concatenate([one.weight, other.weight]))


def part(batch: Batch, chosen: slice) -> Batch:
    x = {name: values[chosen] for name, values in batch.x.items()}
    return Batch(x, batch.y[chosen], batch.weight[chosen])


def test_copies_are_counted() -> None:
    training = rows(500, 0)
    validation = joined(part(training, slice(30)), rows(70, 1))
    assert share_of_copies(validation, training, 500) == pytest.approx(0.3)


def test_of_a_part_of_the_training_rows_the_share_is_an_estimate() -> None:
    training = rows(4_000, 0)
    validation = joined(part(training, slice(None, None, 20)), rows(200, 1))
    found = share_of_copies(validation, part(training, slice(2_000)), 4_000)
    assert found == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("values", [0, 2, 5])
def test_rows_that_are_equal_by_chance_are_no_copies(values: int) -> None:
    assert share_of_copies(rows(200, 1, values=values), rows(800, 0, values=values), 800) is None


def test_a_different_target_is_no_copy() -> None:
    training = rows(500, 0)
    validation = part(training, slice(100))
    other = Batch(validation.x, 1 - validation.y, validation.weight)
    assert share_of_copies(other, training, 500) is None
