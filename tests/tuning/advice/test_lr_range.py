"""Learning rates: where they break down, and which the advice may name."""

from __future__ import annotations

import numpy as np
import pytest

from descend.training.problem import Problem
from descend.tuning.advice import lr_range
from descend.tuning.advice.trials import Trial, make_runner
from tests.problems import linear_problem, mlp_problem, numbers, store_of


def interpolating(rows: int = 2048, columns: int = 32) -> Problem:
    """Least squares that a line solves exactly; column i has variance 1/i."""
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, columns)) / np.sqrt(np.arange(1, columns + 1))
    return linear_problem(store_of(x, x @ random.standard_normal((columns, 1))))


def largest_stable(problem: Problem, batch_size: int, updates: int = 300) -> float:
    """The largest rate, by factors of 2^(1/4), after which the loss is below the start."""
    runner = make_runner(problem)
    for power in np.arange(4.0, -8.0, -0.25):
        rates = np.full(updates, 2.0**power, np.float32)
        trial, losses = runner.advance(runner.start(batch_size, 2.0**power), rates)
        assert trial.state is not None
        if np.isfinite(losses).all() and runner.evaluate(trial.state.params) < runner.start_loss:
            return float(2.0**power)
    raise AssertionError("no rate was stable")


@pytest.mark.slow
def test_the_largest_stable_rate_grows_with_the_batch_until_the_curvature_limits_it() -> None:
    problem = interpolating()
    stable = {size: largest_stable(problem, size) for size in (1, 2, 4, 64, 256)}
    per_row = [stable[size] / size for size in (1, 2, 4)]
    assert max(per_row) / min(per_row) < 2.0
    x = np.asarray(problem.store.gather(np.arange(2048)).x["numeric"])
    limit = 2.0 / np.linalg.eigvalsh(x.T @ x / len(x)).max()
    assert stable[64] == pytest.approx(limit, rel=0.35)
    assert stable[256] == pytest.approx(limit, rel=0.2)
    assert stable[256] / 256 < stable[1] / 8, "the usable range of rate per row shrinks"


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_a_rising_rate_brackets_the_largest_stable_one(optimizer: str) -> None:
    problem = linear_problem(numbers(1000), optimizer=optimizer)
    found = lr_range.max_stable_rate(make_runner(problem), 32)
    assert found is not None
    stable = largest_stable(problem, 32, 100)
    assert stable / 16 < found < stable * 16


def test_no_rate_is_found_where_even_the_lowest_is_too_high() -> None:
    problem = linear_problem(store_of(np.full((50, 2), 1e6), np.ones((50, 1))))
    assert lr_range.max_stable_rate(make_runner(problem), 10) is None


def test_validation_rows_unlike_the_training_rows_do_not_end_the_search_at_once() -> None:
    """Whatever is learned makes their loss worse; rates that do little harm are still sound."""
    table = numbers(500)
    problem = linear_problem(table, store_of(table.x["numeric"], -table.y))
    found = lr_range.max_stable_rate(make_runner(problem), 32)
    assert found is not None
    assert found > 1e-5


def test_larger_sizes_are_sought_near_the_smaller() -> None:
    problem = linear_problem(numbers(1000))
    runner = make_runner(problem)
    found = lr_range.max_stable_rates(runner, [16, 256])
    assert set(found) == {16, 256}
    assert found[256] == pytest.approx(lr_range.max_stable_rate(runner, 256), rel=3.0)


def test_the_search_leaves_the_snapshot_as_it_was() -> None:
    runner = make_runner(mlp_problem(numbers(300), numbers(100)))
    before = runner.evaluate(runner.snapshot.params)
    lr_range.max_stable_rates(runner, [16, 64])
    assert runner.evaluate(runner.snapshot.params) == before


def test_the_exponent_is_the_slope_in_logarithms() -> None:
    assert lr_range.rate_exponent({1: 0.01, 16: 0.04, 256: 0.16}) == pytest.approx(0.5)
    assert lr_range.rate_exponent({1: 0.01, 16: 0.04}) is None


def test_the_best_rate_of_a_size_is_among_the_trials_that_went_furthest() -> None:
    trials = [
        Trial(16, 0.1, None, updates=100, losses=((100, 0.5),), scores=((100, 0.5),)),
        Trial(16, 0.2, None, updates=100, losses=((100, 0.4),), scores=((100, 0.4),)),
        Trial(16, 0.4, None, updates=10, losses=((10, 0.3),), scores=((10, 0.3),)),
        Trial(64, 0.4, None, updates=10, diverged=True),
    ]
    assert lr_range.best_rates(trials) == {16: 0.2}
