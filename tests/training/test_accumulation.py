import warnings

import jax
import numpy as np
import pytest

from descend.training.accumulation import compile_accumulation
from descend.training.step import make_step
from tests.problems import linear_problem, numbers, rows_of, store_of

STORE = numbers(60)


@pytest.mark.parametrize("microbatches", [1, 2])
def test_parts_make_the_same_update(microbatches: int) -> None:
    random = np.random.default_rng(0)
    weight = random.uniform(0.1, 2, size=60) * (random.uniform(size=60) > 0.2)
    store = store_of(STORE.x["numeric"], STORE.y, weight)
    problem = linear_problem(store, l2=0.5, optimizer="momentum")
    accumulated = compile_accumulation(problem.objective, problem.optimizer, microbatches)
    step = jax.jit(make_step(problem.objective, problem.optimizer))
    state = problem.begin().state
    carry = (state.params, state.opt_state)
    for _ in range(2):
        carry, metrics = step(carry, rows_of(store), np.float32(0.1))
        sums = None
        for start in range(0, 60, 20):
            part = rows_of(store, range(start, start + 20))
            part = jax.tree.map(lambda leaf: leaf[None], part)
            sums = accumulated.add(sums, state, part)
        assert sums is not None
        state, losses = accumulated.finish(state, sums, np.float32([0.1]), 60)
        assert float(losses[0]) == pytest.approx(float(metrics.loss), rel=1e-5)
    for name in ("kernel", "bias"):
        np.testing.assert_allclose(state.params[name], carry[0][name], rtol=1e-4, atol=1e-6)
    assert (state.update, state.examples) == (2, 120)


def test_an_update_in_parts_says_nothing_on_the_screen() -> None:
    problem = linear_problem(STORE)
    accumulated = compile_accumulation(problem.objective, problem.optimizer)
    state = problem.begin().state
    part = jax.tree.map(lambda leaf: leaf[None], rows_of(STORE))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sums = accumulated.add(None, state, part)
        sums = accumulated.add(sums, state, part)
        accumulated.finish(state, sums, np.float32([0.1]), 60)
