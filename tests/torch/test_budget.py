"""Advice keeps to its budget, whatever becomes slow."""

from __future__ import annotations

import itertools

import pytest

from descend.reporting.text.advice import advice_text
from tests.torch.problems import (
    linear,
    problem,
    quick,
)

torch = pytest.importorskip("torch")


class SlowAt:
    """A clock that the parts of a loop move on, by as much as a loaded machine would."""

    now = 0.0

    def __call__(self):
        return self.now


def test_where_time_is_short_higher_rates_are_tried_and_the_rate_is_called_undetermined():
    def advised(seconds_per_call):
        ticks = itertools.count()
        return quick(
            linear(), problem(0.5), budget=4.0, clock=lambda: seconds_per_call * next(ticks)
        )

    advice = advised(0.1)
    short = advice.evidence
    rates = short["rates_at_reference"]
    assert min(rates, key=rates.get) == max(rates), "the time was over before a rate was too high"
    assert max(one["learning_rate"] for one in short["trials"]) > 5 * max(rates)
    assert "learning rate" in short["undetermined"]
    assert "No rate that was tried was too high" in " ".join(advice_text(advice).split())
    assert "learning rate" not in advised(4e-3).evidence["undetermined"]


def test_a_slow_data_set_keeps_to_the_budget():
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    clock = Clock()

    class Slow(torch.utils.data.Dataset):
        def __len__(self):
            return 5000

        def __getitem__(self, number):
            clock.now += 2e-3
            return problem_rows[number % 2000]

    problem_rows = problem(0.5)
    advice = quick(linear(), Slow(), budget=4.0, clock=clock)
    assert clock.now < 4.4
    assert advice.cost < 4.4


@pytest.mark.slow
@pytest.mark.parametrize("kind", [None, "AdamW"])
@pytest.mark.parametrize("stage", [0, 40, 150, 400])
def test_a_machine_that_becomes_slow_keeps_to_the_budget(stage, kind):
    clock, calls = SlowAt(), itertools.count()

    def step(module, batch):
        # From some step on everything takes fifty times as long as it did when it was timed.
        clock.now += 2e-4 * (50.0 if next(calls) >= stage else 1.0)
        return torch.nn.functional.mse_loss(module(batch[0]), batch[1])

    optimizer = kind and getattr(torch.optim, kind)
    options = {"step": step, "optimizer": optimizer, "budget": 2.5, "clock": clock}
    advice = quick(linear(), problem(0.5), None, **options)
    assert advice.cost == clock.now < 2.5 * 1.05
    trained = [one["updates"] for one in advice.evidence["trials"]]
    assert sum(trained) < next(calls)


def test_evaluations_of_a_slow_model_take_fewer_rows():
    clock = SlowAt()

    def step(module, batch):
        clock.now += 1e-3 * len(batch[0])
        return torch.nn.functional.mse_loss(module(batch[0]), batch[1])

    options = {"step": step, "optimizer": None, "budget": 5.0, "clock": clock}
    advice = quick(linear(), problem(0.5), None, **options)
    assert clock.now < 5.0 * 1.1
    assert len(advice.evidence["trials"]) > 3
    assert len(advice.evidence["rates_at_reference"]) > 3
