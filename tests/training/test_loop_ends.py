"""Why a run ends, and what it does when the loss explodes."""

import dataclasses
import itertools
import math
from collections.abc import Callable

import jax
import numpy as np
import pytest

from descend.training.loop import fit, summary_of
from descend.training.plateau import MAX_REDUCTIONS
from descend.training.stopping import MAX_RESTARTS
from descend.training.stopping_state import Limits
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
    callback = Recorder()
    run = network().loop_config(16, 0.05, limits=Limits(patience=2))
    loop, reason = fit(run, network().begin(), callback)
    assert reason is StopReason.NO_IMPROVEMENT
    assert loop.progress.lowerings == MAX_REDUCTIONS
    assert len(callback.messages) == MAX_REDUCTIONS
    assert "No improvement in 2 evaluations" in callback.messages[0]
    assert "reduced to 0.01." in callback.messages[0]
    rates = [line.learning_rate for line in loop.history]
    assert rates == sorted(rates, reverse=True)
    assert sorted(set(rates), reverse=True) == pytest.approx([0.05, 0.01, 0.002, 0.0004])


def test_lowering_goes_back_to_the_best_weights() -> None:
    run = network().loop_config(8, 0.05, limits=LOWERING)
    seen = Recorder()
    fit(run, network().begin(), seen)
    stale = next(loop for loop in seen.loops if loop.progress.stale == 1)
    loop, _ = fit(run, network().begin(), Recorder(stop_after=len(stale.history) - 1))
    assert loop.progress.stale == 1
    assert not same_bits(loop.state.params, loop.best.params)
    still = dataclasses.replace(run, learning_rate=0.0)
    after, _ = fit(still, loop, Recorder(stop_after=1))
    assert after.progress.lowerings == 1
    assert same_bits(after.state.params, loop.best.params)
    assert after.state.update == loop.state.update + run.plan.updates_per_epoch


def test_a_target_ends_a_run() -> None:
    reached = Limits(target=0.2, epochs=100)
    loop, reason = fit(
        least_squares().loop_config(16, 0.02, limits=reached), least_squares().begin()
    )
    assert reason is StopReason.TARGET_REACHED
    assert loop.progress.best <= 0.2
    assert all(line.validation_loss > 0.2 for line in loop.history[:-1])


def ticking() -> Callable[[], float]:
    """A clock that goes on by a second whenever it is read."""
    ticks = itertools.count()
    return lambda: float(next(ticks))


def test_a_time_budget_ends_a_run_and_evaluates_it() -> None:
    run = with_chunks(network().loop_config(16, 0.05, limits=Limits(seconds=5.0)), 2)
    loop, reason = fit(run, network().begin(), clock=ticking())
    assert reason is StopReason.TIME_BUDGET
    # Two seconds a chunk by this clock: read before, after the updates, and at the end.
    assert loop.seconds == 6.0
    assert loop.state.update == 6
    assert [line.update for line in loop.history] == [0, 6]


def test_lines_of_the_history_count_the_time_of_their_own_chunk() -> None:
    run = network().loop_config(16, 0.05, limits=Limits(epochs=6))
    loop, _ = fit(run, network().begin(), clock=ticking())
    seconds = [line.seconds for line in loop.history]
    assert seconds == [0.0, *[2.0 * line.epoch - 1.0 for line in loop.history[1:]]]


def test_the_time_of_resumed_parts_adds_up() -> None:
    run = network().loop_config(16, 0.05, limits=Limits(epochs=4))
    loop, _ = fit(run, network().begin(), Recorder(stop_after=2), clock=ticking())
    assert loop.seconds == 4.0
    loop, _ = fit(run, loop, clock=ticking())
    assert loop.seconds == 8.0


@pytest.mark.parametrize("rate", [3.0, 30.0])
def test_a_rate_that_is_too_high_is_lowered_and_the_run_rescued(rate: float) -> None:
    callback = Recorder()
    problem = least_squares()
    loop, reason = fit(
        problem.loop_config(16, rate, limits=Limits(epochs=30)), problem.begin(), callback
    )
    assert reason is StopReason.EPOCHS
    assert 1 <= loop.progress.rescues <= MAX_RESTARTS
    assert len([text for text in callback.messages if "Back to the best" in text]) >= 1
    assert loop.progress.best < 0.2


def test_an_absurd_rate_ends_diverged_with_finite_weights() -> None:
    callback = Recorder()
    problem = least_squares()
    loop, reason = fit(problem.loop_config(16, 1e30), problem.begin(), callback)
    assert reason is StopReason.DIVERGED
    assert loop.progress.rescues == MAX_RESTARTS + 1
    assert "Lower learning rates did not help" in callback.messages[-1]
    for leaf in jax.tree.leaves((loop.best, loop.state)):
        assert np.isfinite(leaf).all()
    assert same_bits(loop.best.params, problem.begin().state.params)
    assert fit(problem.loop_config(16, 1e30), loop)[1] is StopReason.DIVERGED
    assert not prefetch_threads()


def test_a_validation_loss_that_is_not_finite_from_the_start_ends_the_run() -> None:
    plain = numbers(20)
    spoiled = store_of(plain.x["numeric"], np.where(plain.y > 1, np.inf, plain.y))
    problem = linear_problem(numbers(40), spoiled)
    callback = Recorder()
    loop, reason = fit(problem.loop_config(8, 0.1), problem.begin(), callback)
    assert reason is StopReason.DIVERGED
    assert loop.history == ()
    assert "extreme values in the data" in callback.messages[0]
    assert summary_of(loop, reason)["best_validation_loss"] is None


def test_a_validation_loss_that_stops_being_finite_ends_the_run() -> None:
    calls = itertools.count()
    problem = least_squares()
    run = problem.loop_config(16, 0.05)
    spoiled = dataclasses.replace(
        run, evaluate=lambda params: run.evaluate(params) if next(calls) < 3 else math.nan
    )
    loop, reason = fit(spoiled, problem.begin())
    assert reason is StopReason.DIVERGED
    assert len(loop.history) == 3


def test_a_few_rows_with_extreme_targets_are_no_divergence() -> None:
    plain = numbers(3000)
    y = plain.y.copy()
    y[::1000] = 50 * y.std()
    store = store_of(plain.x["numeric"], (y - y.mean()) / y.std())
    problem = linear_problem(store)
    run = with_chunks(problem.loop_config(5, 1e-4, limits=Limits(epochs=1)), 1)
    loop, _ = fit(run, problem.begin())
    # One such row alone has a loss hundreds of times the mean at the start.
    assert 0.5 * float(np.square(store.y).max()) > 300 * loop.history[0].validation_loss
    assert loop.progress.rescues == 0
