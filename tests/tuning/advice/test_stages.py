"""The batch size that trials begin with follows from measured seconds per update."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from descend.tuning.advice import speed, stages
from descend.tuning.advice.trials import Trial, TrialRunner
from descend.types import Speed
from tests.problems import linear_problem, numbers

PROBLEM = linear_problem(numbers(70_000, 2))


def reference_where(
    cost: Callable[[int], float],
    monkeypatch: pytest.MonkeyPatch,
    goal: str = "time",
    epochs: int | None = None,
) -> tuple[int, list[int]]:
    """The reference on a machine with these seconds per update, and the sizes measured."""
    work = begun(cost, monkeypatch, goal, epochs)
    stages.choose_reference(work)
    return work.reference, list(work.speed.batch_sizes)


def begun(
    cost: Callable[[int], float],
    monkeypatch: pytest.MonkeyPatch,
    goal: str = "time",
    epochs: int | None = None,
) -> stages.Work:
    """An advice that has begun on such a machine."""

    def measure(problem: Any, state: Any, sizes: Sequence[int], **_: Any) -> Speed:
        ordered = tuple(sorted(sizes))
        return Speed(ordered, tuple(map(cost, ordered)), (0,) * len(ordered))

    monkeypatch.setattr(speed, "measure_speed", measure)
    ticks = itertools.count()
    return stages.begin_work(
        PROBLEM,
        batch_size=None,
        memory=None,
        goal=goal,
        epochs=epochs,
        budget=None,
        at_least=0.0,
        clock=lambda: next(ticks) * 1e-6,
        started=0.0,
        report=lambda text: None,
    )


def test_it_stays_small_where_an_update_costs_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, measured = reference_where(lambda size: 5e-6 + 0.6e-6 * size, monkeypatch)
    assert reference == 128
    assert measured == [128, 2048]


def test_it_grows_where_larger_batches_cost_nearly_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference, _ = reference_where(lambda size: 40e-6 + 0.01e-6 * size, monkeypatch)
    assert reference == 2048


def test_a_faster_clock_alone_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, _ = reference_where(lambda size: 40e-3 + 0.01e-3 * size, monkeypatch)
    fast, _ = reference_where(lambda size: 40e-6 + 0.01e-6 * size, monkeypatch)
    assert slow == fast


def test_no_larger_size_is_probed_to_see_few_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, measured = reference_where(lambda size: 1e-6, monkeypatch, goal="examples")
    assert (reference, measured) == (128, [128])


def test_a_planned_training_keeps_updates_enough_per_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """70,000 rows hold 64 updates of 1,094 rows, and 16 of 4,375."""
    reference, measured = reference_where(lambda size: 1e-5, monkeypatch, epochs=20)
    assert reference == 512
    assert max(measured) == 512
    assert reference_where(lambda size: 1e-5, monkeypatch)[0] > 512


@pytest.mark.parametrize("compiling", [0.4, 1.503, 1.519, 2.0, 4.9])
def test_a_thorough_advice_measures_all_however_long_compiling_takes(
    compiling: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = stages.time_to_measure_all(10.0, compiling)
    work = replace(begun(lambda size: 1e-6, monkeypatch), compiling=compiling, budget=least)
    assert not work.short_training


POWERS = [25, 50, 100, 200, 400]
"""Updates, doubled each time."""


def curve(rate: float) -> list[tuple[int, float]]:
    """Losses that approach 1 like updates^-rate, from 3 on."""
    return [(0, 3.0), *((updates, 1.0 + updates**-rate) for updates in POWERS)]


def test_the_updates_needed_are_those_after_which_doubling_gains_too_little() -> None:
    needed = stages.updates_needed(curve(0.5), rise=0)
    assert needed is not None
    gain = (needed / 2) ** -0.5 - needed**-0.5
    assert gain == pytest.approx(0.005 * (2.0 - 400**-0.5), rel=1e-2)


@pytest.mark.parametrize("rate", [1.0, 2.0, 6.0])
def test_a_loss_that_falls_fast_is_not_taken_to_have_arrived(rate: float) -> None:
    losses = [(updates, 1.0 + (updates / 25) ** -rate) for updates in POWERS[:3]]
    (_, before), (updates, last) = losses[-2:]
    equal = 0.005 * (3.0 - last)
    assert stages.updates_needed([(0, 3.0), *losses], rise=0) == pytest.approx(
        updates * max(1.0, (before - last) / equal), abs=1.0
    )


def test_the_updates_needed_are_unknown_in_the_warm_up_and_where_the_fall_grows() -> None:
    assert stages.updates_needed(curve(0.7), rise=201) is None
    assert stages.updates_needed(curve(0.7)[:3], rise=0) is None
    assert stages.updates_needed([(0, 3.0), (100, 2.9), (200, 2.7), (400, 2.2)], rise=0) is None


def trial(runner: TrialRunner, losses: Sequence[tuple[int, float]]) -> Trial:
    """A trial at the first probe that had these losses."""
    begun = runner.start(128, 0.1)
    return replace(begun, updates=losses[-1][0], losses=tuple(losses), scores=tuple(losses))


def test_the_budget_shrinks_where_the_first_trials_show_the_end_of_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = begun(lambda size: 1e-3 * size, monkeypatch)
    before, start = work.budget, work.runner.start_loss
    flat = [(100, 0.5 * start), (200, 0.499 * start), (400, 0.4985 * start)]
    stages.reconsider_budget(work, [trial(work.runner, flat)])
    assert work.needed == pytest.approx(400 * work.cost(128))
    assert work.budget == pytest.approx(0.15 * work.needed)
    assert work.budget < before


def test_the_budget_stays_where_the_loss_falls_faster_and_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = begun(lambda size: 1e-3 * size, monkeypatch)
    before, start = work.budget, work.runner.start_loss
    falling = [(100, 0.99 * start), (200, 0.9 * start), (400, 0.5 * start)]
    stages.reconsider_budget(work, [trial(work.runner, falling)])
    assert work.budget == before
