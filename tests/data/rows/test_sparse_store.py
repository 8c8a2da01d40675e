"""Sparse rows: what a batch of them holds, and what may be done with a store of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from descend.data.rows.sparse_store import SparseInputs, SparseStore, round_up


def store(count=20, columns=30, seed=0):
    random = np.random.default_rng(seed)
    X = np.where(random.random((count, columns)) < 0.3, random.normal(size=(count, columns)), 0.0)
    X[2] = 0.0
    X[5] = 1.0
    found = sparse.csr_array(X.astype(np.float32))
    inputs = SparseInputs(found.indptr.astype(np.int64), found.indices, found.data)
    weight = np.arange(count, dtype=np.float32)
    return X.astype(np.float32), SparseStore(inputs, np.arange(count), weight)


def dense(x, columns):
    """The rows of a batch as an array, one entry after the other."""
    made = np.zeros((len(x["column"]), columns), np.float32)
    for row, (places, values) in enumerate(zip(x["column"], x["value"], strict=True)):
        for place, value in zip(places, values, strict=True):
            made[row, place] += value
    return made


def test_a_batch_holds_its_rows():
    X, rows = store()
    chosen = np.array([7, 2, 2, 5, 19])
    batch = rows.gather(chosen)
    assert np.array_equal(dense(batch.x, 30), X[chosen])
    assert batch.y.tolist() == batch.weight.tolist() == chosen.tolist()
    assert batch.x["column"].shape == (5, 32)
    assert rows.gather(np.array([2, 2])).x["value"].shape == (2, 8)


def test_rows_without_any_entry():
    nothing = SparseInputs(np.zeros(4, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    rows = SparseStore(nothing, np.zeros(3), np.ones(3, np.float32))
    assert not rows.gather(np.arange(3)).x["value"].any()
    assert rows.take(np.array([1])).inputs.rows == 1


def test_stores_are_taken_from_joined_and_padded():
    X, rows = store()
    first, second = rows.take(np.arange(5)[::-1]), rows.take(np.array([19, 5]))
    both = SparseStore.joined([first, second]).padded(3)
    assert len(both) == both.inputs.rows == 10
    found = both.gather(np.arange(10))
    expected = np.concatenate([X[[4, 3, 2, 1, 0, 19, 5]], np.zeros((3, 30))])
    assert np.array_equal(dense(found.x, 30), expected)
    assert found.weight.tolist() == [4, 3, 2, 1, 0, 19, 5, 0, 0, 0]
    assert rows.mean_weight == pytest.approx(10.0)


def test_the_longest_row_bounds_a_batch():
    _, rows = store()
    batch = rows.gather(np.array([5]))
    assert batch.x["column"].nbytes + batch.x["value"].nbytes <= rows.row_bytes


@pytest.mark.parametrize("width", [*range(1, 70), 1000, 1025])
def test_widths_are_few_and_at_most_half_too_wide(width):
    assert width <= round_up(width) <= max(8, 1.5 * width)
