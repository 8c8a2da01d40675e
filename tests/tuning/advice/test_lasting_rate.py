"""Which of the finalists' learning rates last, and what is advised where that is not known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from descend.errors import DivergedError
from descend.training.callback import Callback
from descend.training.loop import fit
from descend.training.stopping_state import Limits
from descend.tuning.advice import lasting_rate, selection
from descend.tuning.advice.advise import advise
from descend.tuning.advice.trials import Trial, TrialRunner
from descend.tuning.advice.work import Work
from descend.types import TrainState
from tests.problems import mlp_problem, numbers
from tests.tuning.advice.made_machine import begun, ticking

STATE = TrainState(np.zeros(1), (), np.zeros(1), 0, 0)
"""Weights, for trials that can run on."""


def crossing(rate: float, until: int) -> Trial:
    """A trial whose loss falls fast at first with 0.4, and further with 0.2."""
    falls = {0.4: lambda u: 1 / u + 0.004, 0.2: lambda u: 1.6 / u, 0.05: lambda u: 8.0 / u}[rate]
    losses = tuple((u, falls(u)) for u in (50, 100, 200, 300, 400) if u <= until)
    return Trial(128, rate, STATE, updates=until, losses=losses, scores=losses)


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[float], dict[float, int]]]:
    """`(rates, needed) -> (rates in the order of their costs, updates of each)`."""

    def settle(
        rates: list[float], needed: float = math.inf
    ) -> tuple[list[float], dict[float, int]]:
        work = dataclasses.replace(begun(lambda size: 1e-6 * size, monkeypatch), needed=needed)
        work.runner.start_loss = 1.0

        def run_rung(self: TrialRunner, one: Trial, until: int, _: object = None) -> Trial:
            return crossing(one.learning_rate, until)

        monkeypatch.setattr(TrialRunner, "run_rung", run_rung)
        monkeypatch.setattr(TrialRunner, "chunk_cache", lambda self, size: None)
        entered = [crossing(rate, 200) for rate in rates]
        found, others = lasting_rate.tell_nearest_rates_apart(work, entered, [])
        assert others == []
        ratios = selection.cost_ratios(found, work.cost, work.runner.start_loss)
        ranked = [one for _, one in sorted(zip(ratios, found, strict=True), key=lambda p: p[0])]
        return [one.learning_rate for one in ranked], {
            one.learning_rate: one.updates for one in found
        }

    return settle


def test_a_longer_trial_decides_between_two_rates_that_cost_nearly_the_same(
    apart: Callable[..., tuple[list[float], dict[float, int]]],
) -> None:
    short = [crossing(rate, 200) for rate in (0.4, 0.2)]
    assert short[0].score < 1.25 * short[1].score
    order, updates = apart([0.4, 0.2, 0.05])
    assert order[0] == 0.2
    assert updates == {0.4: 400, 0.2: 400, 0.05: 200}


def test_no_trial_is_longer_than_training(
    apart: Callable[..., tuple[list[float], dict[float, int]]],
) -> None:
    assert apart([0.4, 0.2], needed=399 * 128e-6)[1] == {0.4: 200, 0.2: 200}


def test_rates_that_differ_clearly_run_no_further(
    apart: Callable[..., tuple[list[float], dict[float, int]]],
) -> None:
    assert apart([0.2, 0.05])[1] == {0.2: 200, 0.05: 200}


def test_two_rates_run_no_further_once_a_given_budget_is_spent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = dataclasses.replace(
        begun(lambda size: 1e-6 * size, monkeypatch), budget=0.0, budget_given=True
    )
    entered = [crossing(rate, 200) for rate in (0.4, 0.2)]
    assert lasting_rate.tell_nearest_rates_apart(work, entered, []) == (entered, [])


def falling(rate: float, until: int) -> Trial:
    """A trial twice as fast at twice the rate, until noise of 0.01 (0.4) or 0.002 (0.2) shows."""
    floor = {0.8: 0.03, 0.4: 0.01, 0.2: 0.002, 0.1: 0.001}[rate]
    losses = tuple((u, 2.0 / (rate * u) + floor) for u in (100, 200, 400, 800, 1600) if u <= until)
    return Trial(128, rate, STATE, updates=until, losses=losses, scores=losses)


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[float], dict[float, int]]]:
    """`(seconds so far, needed) -> (rates of the finalists, updates of those that ran on)`."""

    def settle(spent: float, needed: float = math.inf) -> tuple[list[float], dict[float, int]]:
        work = dataclasses.replace(
            begun(lambda size: 1e-6 * size, monkeypatch), needed=needed, clock=lambda: spent
        )
        work.runner.start_loss = 10.0
        ran: dict[float, int] = {}

        def run_rung(self: TrialRunner, one: Trial, until: int, _: object = None) -> Trial:
            ran[one.learning_rate] = until
            return falling(one.learning_rate, until)

        monkeypatch.setattr(TrialRunner, "run_rung", run_rung)
        monkeypatch.setattr(TrialRunner, "start", lambda _, size, rate: Trial(size, rate, STATE))
        monkeypatch.setattr(TrialRunner, "chunk_cache", lambda self, size: None)
        entered = [falling(rate, 200) for rate in (0.4, 0.8)]
        found, others = lasting_rate.follow_lower_rate(work, entered, [falling(0.2, 200)])
        assert len(found) + len(others) == 3
        return sorted(one.learning_rate for one in found), ran

    return settle


def test_the_next_lower_rate_is_followed_while_that_costs_little(
    follow: Callable[..., tuple[list[float], dict[float, int]]],
) -> None:
    """An update takes 128 µs; 0.2 gets ahead between 400 and 800 updates, and so of 0.8, too."""
    assert follow(spent=0.4) == ([0.4, 0.8], {})
    assert follow(spent=0.6) == ([0.4, 0.8], {0.4: 400, 0.2: 400})
    assert follow(spent=4.0) == ([0.2], {0.4: 800, 0.2: 800})


def test_no_rate_is_followed_beyond_the_end_of_training(
    follow: Callable[..., tuple[list[float], dict[float, int]]],
) -> None:
    assert follow(spent=4.0, needed=799 * 128e-6) == ([0.4, 0.8], {0.4: 400, 0.2: 400})


def short_trial(rate: float, updates: int, loss: float | None = None) -> Trial:
    """A trial that has begun: the higher its rate, the lower its loss, unless one is named."""
    ends = ((max(1, updates // 2), 1.0), (updates, 0.9 - rate if loss is None else loss))
    return Trial(128, rate, STATE, updates=updates, losses=ends, scores=ends)


class Machine:
    """A machine on which rates from a certain one on end above the loss at the start, 1.

    Args:
        monkeypatch: to make up its trials.
        seconds: since the advice began.
        too_high: the lowest rate that does not last.
        diverges: whether trials with such rates diverge.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        seconds: float,
        too_high: float,
        diverges: bool = False,
    ) -> None:
        self.ran: list[tuple[float, int]] = []
        self.work: Work = dataclasses.replace(
            begun(lambda size: 1e-6 * size, monkeypatch), clock=lambda: seconds
        )
        self.work.runner.start_loss = 1.0
        self.work.evidence["given"] = []

        def run_rung(runner: TrialRunner, one: Trial, until: int, _: object = None) -> Trial:
            self.ran.append((one.learning_rate, until))
            if one.learning_rate < too_high:
                return short_trial(one.learning_rate, until)
            if diverges:
                return dataclasses.replace(one, state=None, updates=until, diverged=True)
            return short_trial(one.learning_rate, until, 5.0)

        monkeypatch.setattr(TrialRunner, "run_rung", run_rung)
        monkeypatch.setattr(
            TrialRunner, "start", lambda runner, size, rate: Trial(size, rate, STATE)
        )
        monkeypatch.setattr(TrialRunner, "chunk_cache", lambda runner, size: None)

    def advised(self, trials: list[Trial], confirm: bool = True) -> float:
        """The rate that is advised after these trials."""
        others: list[Trial] = []
        if confirm:
            trials, others = lasting_rate.confirm(self.work, trials, others)
        ratios = selection.cost_ratios(trials, self.work.cost, 1.0)
        return lasting_rate.select_lasting_finalist(self.work, trials, ratios).learning_rate


SHORT = [short_trial(rate, 8) for rate in (0.4, 0.2, 0.1)]
"""Trials of a tiny budget: 0.4 is ahead."""


@pytest.mark.parametrize("diverges", [False, True])
def test_short_trials_run_on_until_they_confirm_a_rate(
    monkeypatch: pytest.MonkeyPatch, diverges: bool
) -> None:
    machine = Machine(monkeypatch, seconds=1.0, too_high=0.4, diverges=diverges)
    assert machine.advised(SHORT) == 0.2
    assert machine.ran[:3] == [(rate, 120) for rate in (0.4, 0.2, 0.1)]


def test_a_rate_that_nothing_confirmed_is_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times 112 updates of 128 rows take 0.04 s, longer than the advice took so far."""
    machine = Machine(monkeypatch, seconds=0.01, too_high=0.4)
    machine.work.budget = 0.0
    assert machine.advised(SHORT) == 0.1
    assert machine.ran == [(0.1, 8)]


def test_a_lower_rate_that_diverges_is_lowered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, seconds=1.0, too_high=0.05, diverges=True)
    assert machine.advised(SHORT) == 0.025
    with pytest.raises(DivergedError, match="every learning rate"):
        Machine(monkeypatch, 1.0, too_high=0.0, diverges=True).advised(SHORT)


def test_trials_as_long_as_training_are_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, seconds=1.0, too_high=0.4)
    machine.work.needed, machine.work.budget = 8 * 128e-6, 0.0
    assert machine.advised(SHORT) == 0.4
    assert machine.ran == []


def test_a_given_rate_stays_or_has_diverged(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, seconds=1.0, too_high=0.4)
    machine.work.evidence["given"] = ["learning rate"]
    machine.work.budget = 0.0
    assert machine.advised(SHORT[:1], confirm=False) == 0.4
    machine = Machine(monkeypatch, seconds=1.0, too_high=0.4, diverges=True)
    machine.work.evidence["given"] = ["learning rate"]
    with pytest.raises(DivergedError):
        machine.advised(SHORT[:1], confirm=False)


@pytest.mark.slow
@pytest.mark.parametrize("budget", [0.01, 0.5])
def test_the_advised_rate_lasts_for_the_first_epochs_however_busy_the_machine(
    budget: float,
) -> None:
    """A look at the clock takes 0.01 s: the trials end after 2 or 7 updates.

    With each of these seeds the rate that is ahead by then does not last for three epochs.
    """
    problem = mlp_problem(numbers(600, 6, noise=0.5), numbers(200, 6, seed=1))
    start = problem.evaluate(problem.begin().state.params)
    for seed in (7, 10, 16, 19):
        one = dataclasses.replace(problem, seed=seed)
        advice, _ = advise(one, batch_size=16, budget=budget, clock=ticking(0.01))
        run = one.loop_config(16, advice.learning_rate, limits=Limits(epochs=3))
        loop, _ = fit(run, one.begin(), Callback())
        assert loop.progress.rescues == 0
        assert loop.history[-1].validation_loss < start
