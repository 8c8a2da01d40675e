"""Which learning rates are tried once the search is over."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from descend.tuning.advice import search, selection
from descend.tuning.advice.halving import survivors
from descend.tuning.advice.trials import Trial, TrialRunner
from descend.tuning.advice.work import Work
from descend.types import TrainState
from tests.tuning.advice.made_machine import begun

UPDATES = 400


def ran(rate: float, best: float) -> Trial:
    """A trial whose loss is the higher the further its rate is from the best one."""
    away = max(rate / best, best / rate) - 1.0
    losses = tuple((updates, away + 400 / updates) for updates in (100, 200, 400))
    return Trial(128, rate, None, updates=UPDATES, losses=losses, scores=losses)


@pytest.fixture
def beyond(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, list[float]], list[float]]:
    """`(best rate, rates that ran) -> rates that run after the search`."""

    def settle(best: float, rates: list[float]) -> list[float]:
        work: Work = begun(lambda size: 1e-6 * size, monkeypatch)
        added: list[float] = []

        def run_rung(self: TrialRunner, trial: Trial, until: int, _: object = None) -> Trial:
            assert until == UPDATES
            added.append(trial.learning_rate)
            return ran(trial.learning_rate, best)

        monkeypatch.setattr(TrialRunner, "run_rung", run_rung)
        work.runner.start_loss = 5.0
        finalists = [ran(rate, best) for rate in rates]
        found, others = search.go_beyond_edge(work, finalists, [])
        assert ([one.learning_rate for one in found], others) == ([*rates, *added], [])
        return added

    return settle


def test_rates_go_on_beyond_the_best_one_where_it_is_at_the_edge(
    beyond: Callable[[float, list[float]], list[float]],
) -> None:
    assert beyond(0.4, [0.05, 0.1, 0.2]) == [0.4]
    assert beyond(0.1, [0.1, 0.2]) == [0.05]
    assert beyond(0.2, [0.1, 0.2, 0.4]) == []


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
        found, others = search.tell_nearest_rates_apart(work, entered, [])
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


def test_the_better_half_survives_and_the_next_lower_rate() -> None:
    """After a few updates the two highest rates are ahead of the one that lasts."""
    ranked = [Trial(128, rate, None) for rate in (0.5, 0.25, 0.125, 0.03)]
    assert [one.learning_rate for one in survivors(ranked, 2)] == [0.5, 0.25, 0.125]
    falling = [Trial(128, rate, None) for rate in (0.125, 0.03, 0.25, 0.5)]
    assert [one.learning_rate for one in survivors(falling, 2)] == [0.125, 0.03]


def test_a_given_budget_that_is_spent_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    work = dataclasses.replace(
        begun(lambda size: 1e-6 * size, monkeypatch), budget=0.0, budget_given=True
    )
    finalists = [ran(0.1, 0.4)]
    assert search.go_beyond_edge(work, finalists, []) == (finalists, [])
    assert search.tell_nearest_rates_apart(work, finalists, []) == (finalists, [])
