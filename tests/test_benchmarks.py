"""The benchmarks' own arithmetic: what they report must be right before anyone reads it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import measure, problems
from benchmarks.measure import Apart, Contestant


def test_seconds_are_scaled_to_the_whole_work() -> None:
    turns: list[str] = []
    both = [
        Contestant("half", lambda: turns.append("half"), share=0.5),
        Contestant("whole", lambda: turns.append("whole")),
    ]
    seconds = measure.seconds_each(both, repeats=2)
    assert turns == ["half", "whole", "half", "whole", "whole", "half"]
    assert {name: len(each) for name, each in seconds.items()} == {"half": 2, "whole": 2}


def test_a_ratio_is_taken_within_each_turn() -> None:
    found = measure.ratio([1.0, 8.0, 3.0], [1.0, 4.0, 1.0])
    assert (found.median, found.low, found.high) == (2.0, 1.0, 3.0)


def _work() -> Contestant:
    return Contestant("work", lambda: None)


def _nothing_there() -> Contestant:
    raise ImportError("no module named nothing")


def test_a_contestant_apart_runs_and_names_a_missing_library() -> None:
    apart = Apart("work")
    assert apart.prepare(_nothing_there) == "no module named nothing"
    assert apart.prepare(_work) is None
    assert apart.seconds() >= 0.0
    apart.close()


def test_columns_of_a_table_line_up() -> None:
    lines = measure.table(["a", "long head"], [["wide cell", 1], ["x", 22]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| --------- | --------- |"


def test_expected_loss_of_the_noisy_quadratic_is_the_mean_over_runs() -> None:
    problem = problems.noisy_quadratic(5)
    random = np.random.default_rng(0)
    losses = []
    for _ in range(2000):
        theta = problem.start
        for _ in range(10):
            theta = theta - 0.3 * problems.quadratic_gradient(problem, theta, 2, random)
        losses.append(0.5 * np.sum(problem.curvature * theta**2))
    assert np.mean(losses) == pytest.approx(problems.expected_loss(problem, 0.3, 2, 10), rel=0.05)


def test_the_interpolating_table_has_an_exact_solution() -> None:
    problem = problems.interpolating_table(rows=100, columns=8)
    slope, *_ = np.linalg.lstsq(problem.x, problem.y, rcond=None)
    np.testing.assert_allclose(problem.x @ slope, problem.y, atol=1e-4)


def test_a_fifth_is_held_out_by_the_seed() -> None:
    mask = problems.held_out(100, seed=1)
    assert mask.sum() == 20
    np.testing.assert_array_equal(mask, problems.held_out(100, seed=1))
    assert (mask != problems.held_out(100, seed=2)).any()
