"""The tuned learning rate of a method keeps to the seconds that it is given."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from descend.tuning.advice.trials import TrialRunner, make_runner
from descend.tuning.compare import methods
from descend.tuning.compare.methods import methods_for, tune_rate, tune_rates
from descend.types import Speed
from tests.problems import linear_problem, numbers

ROWS = 400


@pytest.fixture
def runner() -> TrialRunner:
    return make_runner(linear_problem(numbers(ROWS), optimizer="sgd"))


def second_per_update(monkeypatch: pytest.MonkeyPatch) -> None:
    def speed(*_: Any, **__: Any) -> Speed:
        return Speed((ROWS,), (1.0,), (0,), (0.0,))

    monkeypatch.setattr(methods, "measure_speed", speed)


@pytest.mark.parametrize(
    ("seconds", "rates"), [(0.5, []), (5.0, []), (6.5, [0.1, 0.4]), (12.0, [0.025, 0.1, 0.4, 1.6])]
)
def test_no_more_trials_than_there_is_time_for(
    runner: TrialRunner, monkeypatch: pytest.MonkeyPatch, seconds: float, rates: list[float]
) -> None:
    second_per_update(monkeypatch)
    tuned = tune_rate(runner, ROWS, seconds, smaller=0.1)
    assert [rate for rate, _, _ in tuned.trials] == rates
    assert sum(updates for _, updates, _ in tuned.trials) <= seconds
    if not rates:
        assert tuned.learning_rate == 0.1


def test_a_rate_without_trials_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = linear_problem(numbers(ROWS), optimizer="sgd")
    told: list[str] = []
    chosen = [one for one in methods_for(ROWS, 16) if one.optimizer == "sgd"]
    original = methods.tune_rate

    def tune(runner: TrialRunner, size: int, seconds: float, smaller: float | None) -> Any:
        if size == ROWS:
            second_per_update(monkeypatch)
        return original(runner, size, seconds, smaller)

    monkeypatch.setattr(methods, "tune_rate", tune)
    tuned = tune_rates(lambda rule: problem, chosen, 0.05, told.append)
    whole = next(one for one in chosen if one.family == "full")
    mini = next(one for one in chosen if one.family == "mini")
    assert tuned[whole.name].learning_rate == tuned[mini.name].learning_rate
    assert any("takes the learning rate of the smaller batch" in text for text in told)


@pytest.mark.parametrize(("working", "concurrent"), [(None, 2), (1 << 30, 2), (1 << 10, 1)])
def test_trials_run_one_by_one_where_two_would_not_fit(
    monkeypatch: pytest.MonkeyPatch, working: int | None, concurrent: int
) -> None:
    second_per_update(monkeypatch)
    problem = linear_problem(numbers(ROWS), optimizer="sgd")
    runner = make_runner(dataclasses.replace(problem, working=working))
    tune_rate(runner, ROWS, 0.5, smaller=0.1)
    assert runner.concurrent == concurrent
