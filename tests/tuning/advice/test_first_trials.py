"""The first trials say how long training takes, and the budget follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from descend.errors import DivergedError
from descend.tuning.advice import lr_range, search
from descend.tuning.advice.first_trials import (
    FIRST_RUNG_DIVISOR,
    reconsider_budget,
    run_reference_trials,
    updates_needed,
)
from descend.tuning.advice.trials import MANY_EVALUATIONS, Trial, TrialRunner
from descend.tuning.advice.work import Work
from tests.tuning.advice.made_machine import begun

POWERS = [25, 50, 100, 200, 400]
"""Updates, doubled each time."""


def curve(rate: float) -> list[tuple[int, float]]:
    """Losses that approach 1 like updates^-rate, from 3 on."""
    return [(0, 3.0), *((updates, 1.0 + updates**-rate) for updates in POWERS)]


def test_the_updates_needed_are_those_after_which_doubling_gains_too_little() -> None:
    needed = updates_needed(curve(0.5), rise=0)
    assert needed is not None
    gain = (needed / 2) ** -0.5 - needed**-0.5
    assert gain == pytest.approx(0.005 * (2.0 - 400**-0.5), rel=1e-2)


@pytest.mark.parametrize("rate", [1.0, 2.0, 6.0])
def test_a_loss_that_falls_fast_is_not_taken_to_have_arrived(rate: float) -> None:
    losses = [(updates, 1.0 + (updates / 25) ** -rate) for updates in POWERS[:3]]
    (_, before), (updates, last) = losses[-2:]
    equal = 0.005 * (3.0 - last)
    assert updates_needed([(0, 3.0), *losses], rise=0) == pytest.approx(
        updates * max(1.0, (before - last) / equal), abs=1.0
    )


def test_the_updates_needed_are_unknown_in_the_warm_up_and_where_the_fall_grows() -> None:
    assert updates_needed(curve(0.7), rise=201) is None
    assert updates_needed(curve(0.7)[:3], rise=0) is None
    assert updates_needed([(0, 3.0), (100, 2.9), (200, 2.7), (400, 2.2)], rise=0) is None


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
    reconsider_budget(work, [trial(work.runner, flat)])
    assert work.needed == pytest.approx(400 * work.cost(128))
    assert work.budget == pytest.approx(0.15 * work.needed)
    assert work.budget < before


def test_the_budget_stays_where_the_loss_falls_faster_and_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = begun(lambda size: 1e-3 * size, monkeypatch)
    before, start = work.budget, work.runner.start_loss
    falling = [(100, 0.99 * start), (200, 0.9 * start), (400, 0.5 * start)]
    reconsider_budget(work, [trial(work.runner, falling)])
    assert work.budget == before


def test_a_second_core_makes_short_trials_end_sooner_and_long_ones_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = begun(lambda size: 1e-6 * size, monkeypatch)
    work = replace(work, expected=1e6, trial_seconds=60.0, compiling=1.0, budget=60.0)

    def lengths(work: Work) -> list[float]:
        found = []
        for concurrent in (1, 2):
            work.runner.concurrent = concurrent
            found.append(work.length)
        return found

    assert (lengths(work), work.finalists) == ([10.0, 20.0], 3)
    short = replace(work, budget=1.0)
    assert (lengths(short), short.finalists) == ([10.0, 10.0], 2)


def stable_below(limit: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A range test that finds 1000, and trials that diverge at every rate above the limit."""

    def run_rung(self: TrialRunner, one: Trial, until: int, _: object = None) -> Trial:
        if one.learning_rate > limit:
            return replace(one, state=None, diverged=True)
        losses = ((until, 1.0 / one.learning_rate),)
        return replace(one, updates=until, losses=losses, scores=losses)

    monkeypatch.setattr(TrialRunner, "run_rung", run_rung)
    monkeypatch.setattr(lr_range, "max_stable_rate", lambda *_: 1000.0)


@pytest.mark.parametrize(("limit", "best"), [(0.003, 0.0019), (100.0, 31.0)])
def test_rates_become_lower_until_one_lasts(
    limit: float, best: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = begun(lambda size: 1e-6 * size, monkeypatch)
    stable_below(limit, monkeypatch)
    trials = run_reference_trials(work, None)
    assert max(one.learning_rate for one in trials if not one.diverged) == best
    assert search.search(work, [work.reference], None, trials)[0][0].learning_rate <= limit


def test_a_search_whose_trials_all_diverge_goes_on_at_lower_rates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = begun(lambda size: 1e-6 * size, monkeypatch)
    work.evidence["breaking"] = []
    stable_below(1.0, monkeypatch)
    trials = [replace(work.runner.start(work.reference, 64.0), state=None, diverged=True)]
    finalists, others = search.search(work, [work.reference], None, trials)
    assert finalists
    assert all(one.learning_rate <= 1.0 for one in finalists)
    assert {one.learning_rate for one in others if one.diverged} >= {64.0, 16.0, 4.0}


@pytest.mark.parametrize(("power", "part"), [(3.0, 0.25), (0.1, 1.0)])
def test_first_trials_end_early_where_training_is_nearly_over(
    power: float, part: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss approaches half of the first one like updates^-power."""
    work = begun(lambda size: 1e-3 * size, monkeypatch)
    assert not work.short_training
    start = work.runner.start_loss

    def run_rung(
        self: TrialRunner, one: Trial, until: int, parts: tuple[float, ...] | None = None
    ) -> Trial:
        stops = [one.updates + (until - one.updates) * part for part in parts or MANY_EVALUATIONS]
        new = ((round(stop), start * (0.5 + 0.5 * (1.0 + stop) ** -power)) for stop in stops)
        losses = (*one.losses, *new)
        return replace(one, updates=until, losses=losses, scores=losses)

    monkeypatch.setattr(TrialRunner, "run_rung", run_rung)
    monkeypatch.setattr(type(work.runner.problem), "rise", lambda *_: 0)
    work.share_budget()
    whole = work.length / FIRST_RUNG_DIVISOR / work.cost(work.reference)
    trials = run_reference_trials(work, 0.1)
    assert [one.updates for one in trials] == [round(part * whole)]
    assert work.first_rung == pytest.approx(part * whole * work.cost(work.reference))
    doubled = [updates for updates, _ in trials[0].losses[-3:]]
    assert doubled[2] / doubled[1] == pytest.approx(2.0, rel=0.3)
    assert doubled[1] / doubled[0] == pytest.approx(2.0, rel=0.3)


@pytest.mark.parametrize("given", [None, 0.1])
def test_where_no_rate_is_low_enough_the_search_ends(
    given: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = begun(lambda size: 1e-6 * size, monkeypatch)
    stable_below(0.0, monkeypatch)
    trials = run_reference_trials(work, given)
    with pytest.raises(DivergedError):
        search.search(work, [work.reference], given, trials)
