"""Gradients of mini-batches that are too large for memory."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from descend.data.rows.order import epoch_rows
from descend.training.gradient import make_gradient
from descend.tuning.advice.reference import _possible_sizes
from descend.tuning.compare.measures import (
    MIN_DRAWS,
    full_gradient,
    gradient_deviation,
    noise_by_size,
)
from descend.types import Params
from tests.problems import linear_problem, numbers, rows_of

ROWS, SIZE = 2000, 700
WORKING = 8 * 4096
"""Bytes of which a batch may take an eighth: 200 rows."""


def flat(tree: Params) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(tree)])


@pytest.mark.slow
def test_a_mini_batch_read_part_by_part_has_the_naive_gradient() -> None:
    problem = dataclasses.replace(linear_problem(numbers(ROWS), l2=0.1), working=WORKING)
    assert not problem.in_one_chunk(SIZE)
    params = problem.begin().state.params
    whole = flat(full_gradient(problem, params))
    gradient = jax.jit(make_gradient(problem.objective))
    squares = []
    for epoch in range(MIN_DRAWS):
        rows = epoch_rows(problem.seed, epoch, 0, SIZE, ROWS)
        apart = flat(gradient(params, rows_of(problem.store, rows))[1]) - whole
        squares.append(np.sum(apart**2))
    found = gradient_deviation(problem, params, [SIZE])[SIZE]
    assert found.draws == MIN_DRAWS
    np.testing.assert_allclose(
        found.value, np.sqrt(np.mean(squares)) / np.linalg.norm(whole), rtol=1e-3
    )


@pytest.mark.slow
def test_sizes_too_large_for_memory_are_not_plotted() -> None:
    problem = linear_problem(numbers(ROWS))
    moments = {"at the start": problem.begin().state.params}
    sizes = [one["rows"] for one in noise_by_size(problem, moments)]
    assert sizes == [1, 4, 16, 64, 256]
    little = dataclasses.replace(problem, working=8 * 2048)
    assert [one["rows"] for one in noise_by_size(little, moments)] == [1, 4, 16, 64]


def test_a_model_that_couples_rows_is_measured_at_the_sizes_that_fit() -> None:
    problem = dataclasses.replace(linear_problem(numbers(ROWS)), working=WORKING, couples_rows=True)
    sizes = _possible_sizes(problem, lambda size: 0, None, 1 << 30)  # type: ignore[arg-type]
    assert sizes == (8, 32, 128)
