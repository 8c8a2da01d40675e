"""Trials: the same updates as training makes, from a snapshot that stays as it is."""

from __future__ import annotations

import dataclasses
import math

import jax
import numpy as np
import pytest

from descend.training.callback import Callback
from descend.training.loop import fit
from descend.training.stopping_state import Limits
from descend.tuning.advice.halving import successive_halving
from descend.tuning.advice.selection import cost_ratios
from descend.tuning.advice.trials import Trial, TrialRunner, make_runner, sample_rows
from tests.problems import linear_problem, mlp_problem, numbers, same_bits


def runner_of(rows: int = 230, optimizer: str = "momentum", **parts: bool) -> TrialRunner:
    problem = mlp_problem(numbers(rows), numbers(50, seed=1), optimizer=optimizer)
    return make_runner(dataclasses.replace(problem, **parts))


def constant(updates: int, learning_rate: float = 0.01) -> np.ndarray:
    return np.full(updates, learning_rate, np.float32)


def test_a_trial_makes_the_updates_of_training_to_the_bit() -> None:
    runner = runner_of()
    trial, _ = runner.advance(runner.start(16, 0.01), constant(30))
    run = runner.problem.loop_config(16, 0.01, limits=Limits(epochs=2))
    loop, _ = fit(run, runner.problem.begin(), Callback())
    assert loop.state.update == 30
    assert same_bits(trial.state, loop.state)


@pytest.mark.parametrize("cuts", [(1, 29), (7, 8, 15), (15, 15)])
def test_a_trial_in_pieces_is_the_trial_in_one(cuts: tuple[int, ...]) -> None:
    runner = runner_of()
    whole, losses = runner.advance(runner.start(16, 0.01), constant(30))
    trial, seen = runner.start(16, 0.01), []
    for updates in cuts:
        trial, part = runner.advance(trial, constant(updates))
        seen.append(part)
    assert same_bits(trial.state, whole.state)
    assert np.array_equal(np.concatenate(seen), losses)
    assert runner.chunk_cache(16).position(trial.cursor) == runner.chunk_cache(16).position(
        whole.cursor
    )


def test_training_goes_on_from_a_trial_as_if_it_had_never_stopped() -> None:
    runner = runner_of()
    trial, _ = runner.advance(runner.start(16, 0.01), constant(19))
    run = runner.problem.loop_config(16, 0.01, limits=Limits(epochs=2))
    loop, _ = fit(run, runner.loop_state_of(trial, 1.0), Callback())
    straight, _ = fit(run, runner.problem.begin(), Callback())
    assert same_bits(loop.state.params, straight.state.params)
    assert loop.state.examples == straight.state.examples
    assert loop.position == straight.position


def test_gradient_descent_runs_as_a_trial_too() -> None:
    runner = runner_of(64)
    trial, losses = runner.advance(runner.start(64, 0.01), constant(5))
    assert trial.updates == len(losses) == 5
    assert runner.chunk_cache(64).position(trial.cursor).epoch == 5


def test_the_snapshot_stays_as_it_was() -> None:
    runner = runner_of(optimizer="adam")
    before = jax.tree.map(np.array, runner.snapshot)
    successive_halving(runner, [runner.start(16, r) for r in (0.01, 0.1)], lambda size: 1.0, 60.0)
    assert same_bits(before, jax.tree.map(np.array, runner.snapshot))


def test_a_decay_is_scored_and_then_forgotten() -> None:
    runner = runner_of()
    plain, _ = runner.advance(runner.start(16, 0.01), constant(20))
    scored = runner.run_rung(runner.start(16, 0.01), 20)
    assert same_bits(plain.state, scored.state)
    assert [updates for updates, _ in scored.scores] == [25]
    assert scored.score < runner.start_loss


def test_a_trial_that_explodes_is_out() -> None:
    runner = runner_of()
    trial = runner.run_rung(runner.start(16, 1e4), 40)
    assert trial.diverged
    assert trial.state is None
    assert math.isinf(trial.score)


def test_all_finalists_have_the_same_cost_behind_them() -> None:
    runner = make_runner(linear_problem(numbers(500), optimizer="sgd"))
    entered = [runner.start(size, r) for size in (4, 16, 64) for r in (0.02, 0.1)]
    finalists, others = successive_halving(
        runner, entered, lambda size: size + 10.0, 10_000.0, finalists=3
    )
    costs = [one.updates * (one.batch_size + 10.0) for one in finalists]
    assert costs == pytest.approx([10_000.0] * len(costs), rel=0.02)
    assert len(finalists) >= 3
    assert len(finalists) + len(others) == 6
    assert [one.score for one in finalists] == sorted(one.score for one in finalists)
    assert all(one.state is None for one in others)


def test_what_is_entered_on_the_way_runs_the_whole_way() -> None:
    runner = make_runner(linear_problem(numbers(500), optimizer="sgd"))
    entered = [runner.start(16, r) for r in (1e-4, 1e-5)]
    finalists, _ = successive_halving(
        runner, entered, lambda size: 1.0, 1000.0, refine=lambda ranked, out, number: [(16, 0.05)]
    )
    assert finalists[0].learning_rate == 0.05
    assert len({one.updates for one in finalists}) == 1


def test_who_runs_beside_a_trial_does_not_change_it() -> None:
    def run_at(concurrent: int) -> list[Trial]:
        runner = dataclasses.replace(runner_of(), concurrent=concurrent)
        entered = [runner.start(16, r) for r in (0.003, 0.01, 0.03, 0.1)]
        return successive_halving(runner, entered, lambda size: 1.0, 64.0)[0]

    for one, other in zip(run_at(1), run_at(3), strict=True):
        assert dataclasses.replace(one, state=None) == dataclasses.replace(other, state=None)
        assert same_bits(one.state, other.state)


def test_a_trial_begins_with_the_rise_of_a_run() -> None:
    runner = runner_of(averaging=True, rising=True)
    rise = runner.problem.rise(runner.problem.plan(16))
    assert rise > 1
    rates = 0.01 * np.minimum(1.0, np.arange(1, 41) / rise)
    by_hand, _ = runner.advance(runner.start(16, 0.01), rates.astype(np.float32))
    assert same_bits(by_hand.state, runner.run_rung(runner.start(16, 0.01), 40).state)


def test_who_left_and_stood_lower_than_the_last_comes_back() -> None:
    """A rate that explodes late throws the others out first."""
    runner = runner_of(averaging=True)
    rates = (0.01, 0.015, 0.02, 0.03)
    entered = [runner.start(16, rate) for rate in rates]
    finalists, others = successive_halving(runner, entered, lambda size: 1.0, 64.0, finalists=1)
    assert 0.01 not in {one.learning_rate for one in finalists}

    def spoiled(trial: Trial, until: int, evaluations: tuple[float, ...] | None = None) -> Trial:
        found = TrialRunner.run_rung(runner, trial, until, evaluations)
        late = until == 64 and trial.learning_rate > 0.01
        return dataclasses.replace(found, scores=((until, 1e3),)) if late else found

    runner.run_rung = spoiled  # type: ignore[method-assign]
    entered = [runner.start(16, rate) for rate in rates]
    finalists, others = successive_halving(runner, entered, lambda size: 1.0, 64.0, finalists=1)
    assert finalists[0].learning_rate == 0.01
    assert finalists[0].updates == 64
    assert finalists[0].state is not None
    assert all(one.learning_rate != 0.01 for one in others)


def test_halving_ends_early_when_it_is_out_of_time() -> None:
    runner = make_runner(linear_problem(numbers(500), optimizer="sgd"))
    entered = [runner.start(16, r) for r in (0.1, 0.05)]
    finalists, _ = successive_halving(
        runner, entered, lambda size: 1.0, 1000.0, out_of_time=lambda: True
    )
    assert all(one.rungs == 1 for one in finalists)


def test_a_loss_above_the_best_is_told_as_cost() -> None:
    """The worse one comes past the same losses after half as many updates more."""
    best = Trial(16, 0.1, None, updates=200, scores=((100, 0.5), (150, 0.45), (200, 0.4)))
    worse = dataclasses.replace(best, scores=((150, 0.5), (225, 0.45), (300, 0.4)), updates=300)
    assert cost_ratios([best, worse], lambda size: 2.0, 0.6) == pytest.approx([1.0, 1.5])
    assert cost_ratios([worse, best], lambda size: 2.0, 0.6) == pytest.approx([1.5, 1.0])


def test_a_trial_above_all_that_the_best_came_past_has_a_cost_too() -> None:
    best = Trial(16, 0.1, None, updates=200, scores=((100, 0.4), (200, 0.3)))
    behind = dataclasses.replace(best, scores=((100, 0.9), (200, 0.8)))
    far_behind = dataclasses.replace(best, scores=((100, 2.0), (200, 2.0)))
    ratios = cost_ratios([best, behind, far_behind], lambda size: 1.0, 1.0)
    assert ratios == pytest.approx([1.0, 6.0, 707.1], rel=0.03)


def test_validation_rows_are_sampled_once() -> None:
    table = numbers(100)
    few = sample_rows(table, 20, seed=0)
    assert len(few) == 20
    assert np.array_equal(few.y, sample_rows(table, 20, seed=0).y)
