"""Why a run ends, and what it does when the loss explodes."""

import dataclasses
import itertools
import math
from collections.abc import Callable

import jax
import numpy as np
import pytest

from descend.training.loop import fit, summary_of
from descend.training.stopping import MOST_LOWERINGS, MOST_RESCUES, Limits
from descend.types import StopReason
from tests.fitting import LOWERING, least_squares, network, prefetch_threads, with_chunks
from tests.problems import (
    Recorder,
    linear_problem,
    numbers,
    same_bits,
    store_of,
)


def test_a_run_ends_when_lower_rates_do_not_help() -> None:
    watcher = Recorder()
    run = network().run(16, 0.05, limits=Limits(patience=2))
    course, reason = fit(run, network().begin(), watcher)
    assert reason is StopReason.NO_IMPROVEMENT
    assert course.progress.lowerings == MOST_LOWERINGS
    assert len(watcher.messages) == MOST_LOWERINGS
    assert "No improvement in 2 evaluations" in watcher.messages[0]
    assert "lowered to 0.01." in watcher.messages[0]
    rates = [line.learning_rate for line in course.history]
    assert rates == sorted(rates, reverse=True)
    assert sorted(set(rates), reverse=True) == pytest.approx([0.05, 0.01, 0.002, 0.0004])


def test_lowering_goes_back_to_the_best_weights() -> None:
    run = network().run(8, 0.05, limits=LOWERING)
    seen = Recorder()
    fit(run, network().begin(), seen)
    stale = next(course for course in seen.courses if course.progress.stale == 1)
    course, _ = fit(run, network().begin(), Recorder(stop_after=len(stale.history) - 1))
    assert course.progress.stale == 1
    assert not same_bits(course.state.params, course.best.params)
    still = dataclasses.replace(run, learning_rate=0.0)
    after, _ = fit(still, course, Recorder(stop_after=1))
    assert after.progress.lowerings == 1
    assert same_bits(after.state.params, course.best.params)
    assert after.state.update == course.state.update + run.plan.updates_per_epoch


def test_a_target_ends_a_run() -> None:
    reached = Limits(target=0.2, epochs=100)
    course, reason = fit(least_squares().run(16, 0.02, limits=reached), least_squares().begin())
    assert reason is StopReason.TARGET_REACHED
    assert course.progress.best <= 0.2
    assert all(line.validation_loss > 0.2 for line in course.history[:-1])


def ticking() -> Callable[[], float]:
    """A clock that goes on by a second whenever it is read."""
    ticks = itertools.count()
    return lambda: float(next(ticks))


def test_a_time_budget_ends_a_run_and_judges_it() -> None:
    run = with_chunks(network().run(16, 0.05, limits=Limits(seconds=5.0)), 2)
    course, reason = fit(run, network().begin(), clock=ticking())
    assert reason is StopReason.TIME_BUDGET
    # Two seconds a chunk by this clock: read before, after the updates, and at the end.
    assert course.seconds == 6.0
    assert course.state.update == 6
    assert [line.update for line in course.history] == [0, 6]


def test_lines_of_the_history_count_the_time_of_their_own_chunk() -> None:
    run = network().run(16, 0.05, limits=Limits(epochs=6))
    course, _ = fit(run, network().begin(), clock=ticking())
    seconds = [line.seconds for line in course.history]
    assert seconds == [0.0, *[2.0 * line.epoch - 1.0 for line in course.history[1:]]]


def test_the_time_of_resumed_parts_adds_up() -> None:
    run = network().run(16, 0.05, limits=Limits(epochs=4))
    course, _ = fit(run, network().begin(), Recorder(stop_after=2), clock=ticking())
    assert course.seconds == 4.0
    course, _ = fit(run, course, clock=ticking())
    assert course.seconds == 8.0


@pytest.mark.parametrize("rate", [3.0, 30.0])
def test_a_rate_that_is_too_high_is_lowered_and_the_run_rescued(rate: float) -> None:
    watcher = Recorder()
    problem = least_squares()
    course, reason = fit(problem.run(16, rate, limits=Limits(epochs=30)), problem.begin(), watcher)
    assert reason is StopReason.EPOCHS
    assert 1 <= course.progress.rescues <= MOST_RESCUES
    assert len([text for text in watcher.messages if "Back to the best" in text]) >= 1
    assert course.progress.best < 0.2


def test_an_absurd_rate_ends_diverged_with_finite_weights() -> None:
    watcher = Recorder()
    problem = least_squares()
    course, reason = fit(problem.run(16, 1e30), problem.begin(), watcher)
    assert reason is StopReason.DIVERGED
    assert course.progress.rescues == MOST_RESCUES + 1
    assert "Lower learning rates did not help" in watcher.messages[-1]
    for leaf in jax.tree.leaves((course.best, course.state)):
        assert np.isfinite(leaf).all()
    assert same_bits(course.best.params, problem.begin().state.params)
    assert fit(problem.run(16, 1e30), course)[1] is StopReason.DIVERGED
    assert not prefetch_threads()


def test_a_validation_loss_that_is_not_finite_from_the_start_ends_the_run() -> None:
    plain = numbers(20)
    spoiled = store_of(plain.x["numeric"], np.where(plain.y > 1, np.inf, plain.y))
    problem = linear_problem(numbers(40), spoiled)
    watcher = Recorder()
    course, reason = fit(problem.run(8, 0.1), problem.begin(), watcher)
    assert reason is StopReason.DIVERGED
    assert course.history == ()
    assert "extreme values in the data" in watcher.messages[0]
    assert summary_of(course, reason)["best_validation_loss"] is None


def test_a_validation_loss_that_stops_being_finite_ends_the_run() -> None:
    calls = itertools.count()
    problem = least_squares()
    run = problem.run(16, 0.05)
    spoiled = dataclasses.replace(
        run, evaluate=lambda params: run.evaluate(params) if next(calls) < 3 else math.nan
    )
    course, reason = fit(spoiled, problem.begin())
    assert reason is StopReason.DIVERGED
    assert len(course.history) == 3


def test_a_few_rows_with_extreme_targets_are_no_divergence() -> None:
    plain = numbers(3000)
    y = plain.y.copy()
    y[::1000] = 50 * y.std()
    store = store_of(plain.x["numeric"], (y - y.mean()) / y.std())
    problem = linear_problem(store)
    run = with_chunks(problem.run(5, 1e-4, limits=Limits(epochs=1)), 1)
    course, _ = fit(run, problem.begin())
    # One such row alone has a loss hundreds of times the mean at the start.
    assert 0.5 * float(np.square(store.y).max()) > 300 * course.history[0].validation_loss
    assert course.progress.rescues == 0
