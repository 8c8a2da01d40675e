import jax
import numpy as np
import pytest

from descend.data.rows.batches import BatchPlan, chunks
from descend.training.state import copy_state
from descend.training.step import make_step
from tests.problems import linear_problem, numbers, same_bits

STORE = numbers(60)


def test_only_the_updates_asked_for_are_run() -> None:
    problem = linear_problem(STORE)
    plan = BatchPlan(60, 6, seed=0, updates_per_chunk=10)
    batch = next(chunks(STORE, plan)).batch
    run_chunk = problem.compiled(plan)
    rates = np.full(10, 0.1, np.float32)
    for updates in (0, 1, 4):
        some, losses = run_chunk(problem.begin().state, batch, rates, updates, updates * 6)
        short = jax.tree.map(lambda leaf, stop=updates: leaf[:stop], batch)
        state = problem.begin().state
        if updates:
            state, expected = run_chunk(state, short, rates[:updates], updates, updates * 6)
            np.testing.assert_array_equal(losses[:updates], expected)
            state = state._replace(update=0, examples=0)
        assert same_bits(some.params, state.params)
        assert (some.update, some.examples) == (updates, updates * 6)


def test_losses_of_a_chunk_are_those_before_each_update() -> None:
    problem = linear_problem(STORE)
    plan = BatchPlan(60, 20, seed=0, updates_per_chunk=3)
    batch = next(chunks(STORE, plan)).batch
    rates = np.float32([0.1, 0.2, 0.3])
    state = problem.begin().state
    _, losses = problem.compiled(plan)(copy_state(state), batch, rates, 3, 60)
    step = jax.jit(make_step(problem.objective, problem.optimizer))
    carry = (state.params, state.opt_state)
    for number in range(3):
        one = jax.tree.map(lambda leaf, number=number: leaf[number], batch)
        assert float(problem.objective(carry[0], one)) == pytest.approx(
            float(losses[number]), rel=1e-5
        )
        carry, _ = step(carry, one, rates[number])
