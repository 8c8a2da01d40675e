"""Seconds per update and memory, with a clock that is set by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from descend.training.network.models import Inputs, mlp
from descend.tuning.advice import speed
from descend.types import Speed
from tests.problems import linear_problem, numbers, same_bits
from tests.tuning.advice.made_machine import ticking


def test_seconds_are_those_of_the_clock_over_the_updates_made() -> None:
    problem = linear_problem(numbers(640))
    state = problem.begin().state
    found = speed.measure_speed(
        problem, state, [64, 16], clock=ticking(0.01), seconds=0.015, repeats=3
    )
    assert found.batch_sizes == (16, 64)
    # Calls of 1 and 2 updates in the first turn, 2 and 4 in the second, 4 and 8 in the third.
    assert found.seconds_per_update == pytest.approx((0.02 / 12, 0.02 / 12))


def test_no_turn_takes_longer_than_one_slow_update(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = linear_problem(numbers(640))
    made: list[int] = []

    def counting(*arguments: Any) -> Any:
        made.append(arguments[3])
        return compiled(*arguments)

    compiled = problem.compiled(problem.plan(64))
    monkeypatch.setattr(type(problem), "compiled", lambda *_: counting)
    found = speed.measure_speed(
        problem, problem.begin().state, [64], clock=ticking(1.0), seconds=0.5
    )
    assert made == [1] * (1 + speed.REPEATS)
    assert found.seconds_per_update == (1.0,)


def test_a_turn_in_which_the_machine_was_busy_does_not_count() -> None:
    problem = linear_problem(numbers(640))
    times = iter([0.0, 1.0, 0.0, 50.0, 0.0, 2.0])
    found = speed.measure_speed(
        problem, problem.begin().state, [64], clock=lambda: next(times), repeats=3, seconds=0.5
    )
    assert found.seconds_per_update == pytest.approx((1.0,))


@pytest.mark.parametrize(("enough", "expected"), [(0.5, 2.5), (9.5, 1.0)])
def test_no_turn_begins_after_enough_seconds(enough: float, expected: float) -> None:
    """But for the second: the first one alone may have been disturbed."""
    problem = linear_problem(numbers(640))
    times = iter([0.0, 0.0, 1.0, 1.0, 5.0, 9.0, 9.0, 11.0, 12.0])
    found = speed.measure_speed(
        problem,
        problem.begin().state,
        [64],
        clock=lambda: next(times),
        repeats=9,
        seconds=0.5,
        enough=enough,
    )
    assert found.seconds_per_update == pytest.approx((expected,))


def test_measuring_changes_nothing() -> None:
    problem = linear_problem(numbers(100), optimizer="adam")
    state = problem.begin().state
    before = jax.tree.map(np.array, (state.params, state.opt_state))
    speed.compile_sizes(problem, state, [10, 100])
    speed.measure_speed(problem, state, [10, 100], seconds=1e-4)
    assert same_bits(before, (state.params, state.opt_state))


def test_between_measured_sizes_lines_are_straight_in_logarithms() -> None:
    found = Speed((1, 4, 16), (1e-5, 2e-5, 4e-5), (0, 0, 0))
    assert speed.seconds_at(found, 4) == pytest.approx(2e-5)
    assert speed.seconds_at(found, 2) == pytest.approx(2e-5 / 2**0.5)
    assert speed.seconds_at(found, 64) == pytest.approx(16e-5)
    assert speed.seconds_at(found, 1) == pytest.approx(1e-5)


def test_a_chance_dip_is_not_the_end() -> None:
    sizes = (1, 4, 16, 64)
    assert not speed.is_saturated(Speed(sizes[:3], (1.0, 2.0, 8.1), (0,) * 3))
    assert not speed.is_saturated(Speed(sizes, (1.0, 2.0, 8.1, 20.0), (0,) * 4))
    assert speed.is_saturated(Speed(sizes, (1.0, 2.0, 8.0, 32.0), (0,) * 4))


def test_two_measurements_join_in_order() -> None:
    joined = speed.merge_speeds(
        Speed((4, 16), (2.0, 3.0), (1, 2)), Speed((1, 64), (1.0, 9.0), (0, 5))
    )
    assert joined == Speed((1, 4, 16, 64), (1.0, 2.0, 3.0, 9.0), (0, 1, 2, 5))


def test_a_size_measured_while_the_machine_was_busy_counts_relative_to_the_one_beside_it() -> None:
    quiet = Speed((4, 16), (2.0, 3.0), (1, 2))
    busy = Speed((4, 64), (6.0, 27.0), (1, 5))
    joined = speed.merge_speeds(quiet, busy)
    assert joined.batch_sizes == (4, 16, 64)
    assert joined.seconds_per_update == pytest.approx((2.0, 3.0, 9.0))


def test_no_size_is_beyond_the_rows() -> None:
    assert speed.candidate_sizes(1) == (1,)
    assert speed.candidate_sizes(450) == (1, 8, 32, 128, 450)
    assert max(speed.candidate_sizes(100_000)) == 32_768


def test_memory_per_row_does_not_depend_on_how_many_rows_were_counted() -> None:
    """61 units are not taken for rows, though 61 rows are counted where it can be."""

    def per_row(hidden: int) -> float:
        network = mlp(Inputs(3, ()), [0.0], (hidden,))
        problem = dataclasses.replace(
            linear_problem(numbers(5000)), init=network.init, apply=network.apply
        )
        footprint = speed.Footprint(problem, problem.begin().state)
        return (footprint(4096) - footprint(2048)) / 2048

    assert 0.9 < per_row(61) / per_row(64) < 1.0


def test_memory_grows_with_the_batch_and_bounds_it() -> None:
    problem = linear_problem(numbers(5000))
    footprint = speed.Footprint(problem, problem.begin().state)
    small, large = footprint(1000), footprint(4000)
    assert small < large
    assert speed.largest_size_that_fits(footprint, (1000, 4000), (small + large) // 2) == 1000
    assert speed.largest_size_that_fits(footprint, (1000, 4000), 0) == 1000
