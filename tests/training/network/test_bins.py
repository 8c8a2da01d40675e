import numpy as np
import pytest

from descend.training.network.bins import (
    BEYOND,
    BINS,
    LEAST_COUNT,
    MOST_BINNED,
    TAILS,
    compress,
    find_bins,
    sample,
    within_training,
)
from descend.training.network.value_groups import LEAN
from tests.problems import numbers

EDGES = BINS + 2 * len(TAILS)


def column(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)[:, None]


def test_the_bins_of_a_continuous_column_hold_about_as_many_rows_each() -> None:
    values = np.random.default_rng(0).exponential(size=20_000)
    bins = find_bins(column(values))
    low, rate = bins.low, bins.rate
    assert len(low) == EDGES
    assert np.all(rate > 0)
    places = np.searchsorted(low, values, side="right") - 1
    counts = np.bincount(places.clip(0), minlength=EDGES)
    middle = counts[len(TAILS) + 2 : -len(TAILS) - 2]
    assert 0.9 * 20_000 / BINS < middle.min() <= middle.max() < 1.1 * 20_000 / BINS
    assert low[0] == np.float32(values.min())
    np.testing.assert_allclose(low[-1] + 1 / rate[-1], values.max(), rtol=1e-3)


def test_a_value_that_most_rows_hold_leaves_bins_for_the_others() -> None:
    random = np.random.default_rng(1)
    values = np.where(random.random(5_000) < 0.95, 0.0, random.integers(1, 200, 5_000))
    bins = find_bins(column(values))
    assert np.count_nonzero(bins.rate) > BINS // 2


def test_a_column_of_few_values_is_learned_as_a_category_too() -> None:
    random = np.random.default_rng(2)
    hours = random.integers(0, 24, 2_000)
    table = np.stack([hours, random.normal(size=2_000), hours > 11], axis=1).astype(np.float32)
    bins = find_bins(table)
    assert bins.coded.tolist() == [0]
    assert bins.binned.tolist() == [0, 1]
    middles = bins.middles[bins.middles < BEYOND]
    np.testing.assert_allclose(middles, [hour + LEAN for hour in range(23)], rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 20, 190])
def test_a_value_that_few_rows_have_is_some_deviations_away_whatever_their_number(
    rows: int,
) -> None:
    values = np.where(np.arange(10_000) < rows, 3e-4, 0.0)
    bins = find_bins(column((values - values.mean()) / values.std()))
    scaled = compress(
        np.unique((values - values.mean()) / values.std()),
        *(float(one[0]) for one in (bins.centre, bins.reach, bins.scale)),
    )
    assert scaled[0] == pytest.approx(0.0, abs=1e-6)
    assert 6.9 < scaled[1] < 7.2


def test_a_rare_value_takes_the_code_of_its_neighbour() -> None:
    values = np.repeat([0.0, 1.0, 2.0, 10.0], [50, 50, 50, LEAST_COUNT - 1])
    bins = find_bins(column(values))
    np.testing.assert_allclose(bins.middles[bins.middles < BEYOND], [LEAN, 1 + LEAN], rtol=1e-6)


def test_rounding_does_not_decide_the_code_of_a_value_between_two_frequent_ones() -> None:
    # Every second value of a grid is rare, so it lies in the middle of its neighbours.
    grid = 0.01 * np.arange(20, 220)
    values = np.repeat(grid, np.where(np.arange(200) % 2, 1, LEAST_COUNT))
    middles = find_bins(column((values - 1.2) / 0.58)).middles
    once, again = (
        np.searchsorted(middles, ((one.astype(np.float64) - 1.2) / 0.58).astype(np.float32))
        for one in (grid, grid.astype(np.float32))
    )
    np.testing.assert_array_equal(once, again)


def test_the_arrays_are_finite_for_any_table() -> None:
    random = np.random.default_rng(3)
    wild = random.standard_cauchy(500).astype(np.float32)
    wild[0] = 1e6
    table = np.stack([wild, np.zeros(500), random.integers(0, 2, 500)], axis=1)
    for values in find_bins(table.astype(np.float32)):
        assert np.isfinite(values).all()
    assert all(np.isfinite(values).all() for values in find_bins(np.zeros((5, 0), np.float32)))


def test_very_wide_tables_have_no_bins() -> None:
    table = np.random.default_rng(4).normal(size=(50, MOST_BINNED + 1)).astype(np.float32)
    assert find_bins(table).binned.size == 0


def test_a_number_is_taken_as_it_is_within_the_reach_and_as_its_logarithm_beyond() -> None:
    near = np.linspace(-10.0, 10.0, 9)
    assert compress(near, 0.0, 10.0, 1.0) == pytest.approx(near)
    assert compress(1e6, 0.0, 10.0, 1.0) == pytest.approx(10.0 * (1.0 + np.log(1e5)))
    just = compress(np.array([10.0, 10.001]), 0.0, 10.0, 1.0)
    assert np.diff(just)[0] == pytest.approx(0.001, rel=1e-3)


def test_a_number_outside_of_the_training_rows_is_drawn_nearer_to_them() -> None:
    below, above = 2.0, 5.0
    inside = np.linspace(-1.0, 6.0, 9)
    np.testing.assert_array_equal(within_training(inside, 1.0, below, above), inside)
    out = within_training(np.array([-3.0, 11.0, -1e9, 1e9]), 1.0, below, above)
    assert out == pytest.approx([-2.0, 8.5, -3.0, 11.0])
    just = within_training(np.array([6.0, 6.001]), 1.0, below, above)
    assert np.diff(just)[0] == pytest.approx(0.001, rel=1e-3)


def test_how_far_training_rows_go_is_above_0_on_both_sides_whatever_a_column_holds() -> None:
    mostly_0 = np.zeros(100)
    mostly_0[:3] = 7.0
    table = np.stack([np.arange(100.0), mostly_0, np.ones(100)], axis=1).astype(np.float32)
    bins = find_bins(table)
    np.testing.assert_allclose(bins.below, [49.5, 7.0, 1.0])
    np.testing.assert_allclose(bins.above, [49.5, 7.0, 1.0])


def test_few_rows_are_all_looked_at_and_of_many_the_same_with_a_seed() -> None:
    store = numbers(300)
    np.testing.assert_array_equal(sample(store, seed=0).numeric, store.x["numeric"])
    some = sample(store, seed=0, rows=100).numeric
    assert some.shape == (100, 3)
    np.testing.assert_array_equal(some, sample(store, seed=0, rows=100).numeric)
    assert not np.array_equal(some, sample(store, seed=1, rows=100).numeric)


def test_a_row_of_weight_3_counts_like_three_rows() -> None:
    random = np.random.default_rng(4)
    values = random.exponential(size=2_000).astype(np.float32)
    weight = random.integers(0, 4, 2_000)
    once = find_bins(column(values), weight.astype(np.float32))
    repeated = find_bins(column(np.repeat(values, weight)))
    assert once.low.tolist() == repeated.low.tolist()
    for name in ("centre", "scale", "reach"):
        ours, theirs = getattr(once, name), getattr(repeated, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-2)


def test_a_row_of_weight_0_does_not_count() -> None:
    values = np.random.default_rng(5).normal(size=1_000).astype(np.float32)
    weight = np.repeat([1.0, 0.0], [900, 100]).astype(np.float32)
    for ours, theirs in zip(
        find_bins(column(values), weight), find_bins(column(values[:900])), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
