"""Which learning rates are tried once the search is over."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from descend.tuning.advice import search
from descend.tuning.advice.halving import survivors
from descend.tuning.advice.trials import Trial, TrialRunner
from descend.tuning.advice.work import Work
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
