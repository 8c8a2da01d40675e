import dataclasses

import numpy as np
import pytest

from descend.training import problem as problem_module
from descend.training.loop import fit
from descend.training.stopping_state import Limits
from tests.problems import linear_problem, mlp_problem, numbers, same_bits, store_of

PROBLEM = mlp_problem(numbers(60), numbers(20, seed=1))


def test_a_run_holds_what_was_asked_for() -> None:
    limits = Limits(epochs=10)
    run = PROBLEM.loop_config(7, 0.25, schedule="cosine", warmup=0.5, limits=limits)
    assert run.plan.batch_size == 7
    assert run.plan.rows == 60
    assert run.learning_rate == 0.25
    assert run.limits is limits
    assert run.evaluate is PROBLEM.evaluate
    # Nine updates an epoch, ten epochs: the warm-up takes 45 updates, the fall all of them.
    assert run.schedule(np.asarray([0]))[0] < 0.03
    assert run.schedule(np.asarray([90]))[0] == 1e-3


def test_runs_with_as_many_pieces_share_a_program() -> None:
    assert PROBLEM.loop_config(7, 0.1).run_chunk is PROBLEM.loop_config(60, 0.2).run_chunk
    cut = dataclasses.replace(PROBLEM.plan(60), micro_rows=30)
    assert PROBLEM.compiled(cut) is not PROBLEM.loop_config(60, 0.2).run_chunk


def test_a_long_epoch_is_cut_into_stretches() -> None:
    assert PROBLEM.plan(7).intervals_per_epoch == 1
    rows = problem_module.EVALUATION_INTERVAL_ROWS * 2 + 1
    large = linear_problem(store_of(np.zeros((rows, 1)), np.zeros((rows, 1))))
    assert large.plan(64).intervals_per_epoch == 3


def test_initial_weights_come_from_the_seed() -> None:
    assert same_bits(PROBLEM.begin(), PROBLEM.begin(seed=0))
    assert not same_bits(PROBLEM.begin(), PROBLEM.begin(seed=1))
    other = dataclasses.replace(PROBLEM, seed=1)
    assert same_bits(other.begin(), PROBLEM.begin(seed=1))
    assert other.plan(7).seed == 1


def test_a_problem_can_be_run_again_and_again() -> None:
    ends = [
        fit(PROBLEM.loop_config(7, 0.05, limits=Limits(epochs=1)), PROBLEM.begin())[0] for _ in "ab"
    ]
    assert same_bits(ends[0].state, ends[1].state)


def test_the_penalty_counts_in_the_evaluation_where_the_training_rows_validate() -> None:
    store, validation = numbers(30), numbers(20)
    params = {"kernel": np.ones((3, 1), np.float32), "bias": np.zeros(1, np.float32)}
    held_out = [linear_problem(store, validation, l2=l2).evaluate(params) for l2 in (0.0, 2.0)]
    assert held_out[0] == held_out[1]
    free, bound = linear_problem(store), linear_problem(store, l2=2.0)
    assert bound.evaluate(params) == pytest.approx(free.evaluate(params) + 3.0)
    assert free.objective.penalty is None
    assert bound.objective.penalty is not None
    assert float(bound.objective.penalty(params)) == 3.0


def test_a_gradient_takes_few_rows_at_once_where_each_takes_much() -> None:
    rows = numbers(2000)
    usual = mlp_problem(rows, rows)
    assert usual.plan(2000).microbatches == 1
    least = problem_module.FEWEST_AT_ONCE
    tight = dataclasses.replace(usual, working=1 << 16)
    assert tight.rows_at_once == least
    assert tight.plan(2000).microbatches > 1
    assert tight.plan(least).microbatches == 1
    # Rows are divided by the bound that was set, never by what happens to be free.
    assert dataclasses.replace(usual, working=1 << 40).plan(2000) == usual.plan(2000)


def test_a_batch_is_divided_under_a_bound_of_memory() -> None:
    rows = numbers(2000)
    usual = mlp_problem(rows, rows)
    bound = dataclasses.replace(usual, working=4 * 2000 * usual.store.row_bytes)
    assert usual.plan(2000).accumulation_steps == 1
    assert bound.plan(2000).accumulation_steps == 2
