"""Which of the finalists is advised, and how far its regions reach."""

from __future__ import annotations

import pytest

from descend.tuning.advice import selection, speed
from descend.tuning.advice.critical_batch import UpdatesLaw
from descend.tuning.advice.trials import Trial
from descend.types import Speed


def trial(batch_size: int, learning_rate: float, loss: float = 0.5) -> Trial:
    return Trial(batch_size, learning_rate, None, updates=100, scores=((100, loss),))


def test_the_reference_stays_first_and_of_its_rates_the_cheapest() -> None:
    small, large, slow, high = trial(64, 0.2), trial(256, 0.2), trial(256, 0.1), trial(256, 0.4)
    worse = trial(1024, 0.05)
    order = selection.rank([small, high, large, slow, worse], [1.0, 1.14, 1.13, 1.3, 1.2], 256)
    assert order == [large, high, small, worse, slow]


def test_a_size_that_is_surely_better_is_first() -> None:
    best, other, slow = trial(64, 0.2), trial(256, 0.2), trial(64, 0.1)
    assert selection.rank([best, other, slow], [1.0, 1.5, 1.12], 256) == [best, slow, other]


def test_without_the_reference_the_best_is_first() -> None:
    best, other = trial(256, 0.2), trial(64, 0.2)
    assert selection.rank([other, best], [1.06, 1.0], 128) == [best, other]


def test_the_flat_region_ends_at_the_first_size_that_does_not_belong() -> None:
    winner = trial(64, 0.1)
    finalists = [winner, trial(256, 0.1), trial(256, 0.2), trial(16, 0.1)]
    ratios, tried = selection.relative_to_winner(winner, finalists, [1.2, 1.5, 1.26, 1.8])
    assert ratios == pytest.approx([1.0, 1.25, 1.05, 1.5])
    assert tried == pytest.approx({64: 1.0, 256: 1.05, 16: 1.5})
    costs = {8: 1.0, 32: 1.05, 64: 1.0, 128: 1.02, 512: 1.04, 1024: 1.5}
    assert selection.flat_region(winner, tried, costs) == (32, 512)
    assert selection.flat_region(winner, tried, {}) == (64, 256)


def test_sizes_that_look_faster_than_the_winner_belong_to_the_flat_region() -> None:
    """The winner need not be the cheapest: only a size that is clearly cheaper replaces it."""
    winner, tried = trial(128, 0.1), {32: 0.81, 128: 1.0}
    costs = {16: 0.6, 32: 0.6, 64: 0.7, 128: 1.0, 256: 1.2}
    assert selection.flat_region(winner, tried, costs) == (16, 128)


def test_rates_that_did_as_well_are_of_the_same_size() -> None:
    winner = trial(64, 0.1)
    finalists = [winner, trial(64, 0.2), trial(64, 0.4), trial(16, 0.01)]
    assert selection.good_rates(winner, finalists, [1.0, 1.1, 1.2, 1.0]) == (0.1, 0.2)


def curve(size: int, rate: float, updates: int) -> Trial:
    """A trial that comes down to 0.5 after so many updates."""
    looks = ((10, 1.0), (updates, 0.5), (2 * updates, 0.4))
    return Trial(size, rate, None, updates=2 * updates, scores=looks)


def test_the_law_goes_through_the_loss_that_three_sizes_came_past_with_two_rates() -> None:
    needed = {4: 1700, 16: 500, 64: 200, 256: 125}
    fast = [curve(size, 0.1, updates) for size, updates in needed.items()]
    slow = [curve(size, 0.05, 2 * updates) for size, updates in needed.items()]
    found = selection.fit_law_to_trials([*fast, *slow, curve(1, 0.1, 5000)], 2.0)
    assert found.level == 0.5
    far = Trial(64, 0.1, None, updates=9, scores=((4, 1.0), (8, 0.0)))
    assert selection.fit_law_to_trials([*fast, *slow, far], 2.0).law is None
    assert found.law is not None
    assert 50 < found.law.critical < 80
    assert selection.fit_law_to_trials([*fast, *slow][:6], 2.0).law is None


def test_a_size_whose_lowest_rate_is_its_fastest_tells_no_updates() -> None:
    needed = {4: 1700, 16: 500, 64: 200}
    fast = [curve(size, 0.1, updates) for size, updates in needed.items()]
    slow = [curve(size, 0.2, 2 * updates) for size, updates in needed.items()]
    assert selection.fit_law_to_trials([*fast, *slow], 2.0).law is None


def test_a_size_that_ran_to_the_end_tells_its_cost_itself_the_others_by_the_law() -> None:
    winner = trial(64, 0.1)
    found = Speed((16, 64, 256), (1.0, 2.0, 6.0), (0, 0, 0))
    law = UpdatesLaw(50.0, 64.0, (32.0, 128.0))
    lines = selection.predict_costs(winner, {64: 1.0, 16: 1.5}, found, law, lambda size: 2.0 + size)
    seen = {line["batch_size"]: line["updates"] for line in lines}
    assert seen == pytest.approx({16: 100 * 1.5 * 66 / 18, 64: 100.0, 256: 100 * 1.25 / 2.0})
    assert [line["seconds"] for line in lines] == pytest.approx([seen[16], 200.0, 6 * seen[256]])
    fallen = selection.predict_costs(winner, {64: 1.0, 16: 11.0}, found, None, lambda size: 1.0)
    assert [line["batch_size"] for line in fallen] == [64]
    alone = selection.predict_costs(winner, {64: 1.0}, found, None, lambda size: 1.0)
    assert [line["batch_size"] for line in alone] == [64]


def test_the_flat_region_is_wider_where_other_work_disturbed_the_timing() -> None:
    winner, tried = trial(128, 0.1), {32: 1.4, 128: 1.0, 512: 1.05}
    assert selection.flat_region(winner, tried, {}) == (128, 512)
    busy = Speed((32, 128, 512), (1.0, 2.0, 4.0), (0, 0, 0), (0.3, 0.1, 0.0))

    def timing(size: int) -> float:
        return selection.timing_spread(busy, size, 128)

    assert selection.flat_region(winner, tried, {}, timing) == (32, 512)
    calm, disturbed = (selection.ratio_interval(1.4, one) for one in (0.0, timing(32)))
    assert disturbed[0] < calm[0] < calm[1] < disturbed[1]


def test_the_spread_of_timing_is_kept_when_two_measurements_are_joined() -> None:
    calm = Speed((32, 128), (1.0, 2.0), (0, 0), (0.01, 0.02))
    busy = Speed((128, 512), (4.0, 8.0), (0, 0), (0.5, 0.4))
    assert speed.merge_speeds(calm, busy).spread == (0.01, 0.5, 0.4)
    assert speed.spread_at(Speed((8,), (1.0,), (0,)), 8) == 0.0
