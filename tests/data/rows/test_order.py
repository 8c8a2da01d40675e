from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from descend.data.rows import order
from descend.data.rows.order import DRAWN, HASHED, MOST_DRAWN, MOST_HASHED, epoch_rows

RowsAt = Callable[[int, int, int, int, int], np.ndarray]

LARGE = MOST_DRAWN[DRAWN] + 12_345

seeds = st.integers(0, 2**32 - 1)
epochs = st.integers(0, 10_000)


def feistel_rows(seed: int, epoch: int, start: int, stop: int, rows: int) -> np.ndarray:
    """The order of large tables, asked of any table."""
    rounds = order._rounds(seed, epoch, rows)
    return order._feistel(np.arange(start, stop, dtype=np.int64), rounds, rows)


def hashed_rows(seed: int, epoch: int, start: int, stop: int, rows: int) -> np.ndarray:
    """The order of large tables whose round functions are hashes, asked of any table."""
    rounds = order._hashed_rounds(seed, epoch, rows)
    places = np.arange(start, stop, dtype=np.int32)
    return order._feistel(places, rounds, rows).astype(np.int64)


ORDERS = pytest.mark.parametrize("rows_at", [epoch_rows, feistel_rows, hashed_rows])


def test_an_epoch_of_100_000_rows_in_slices_of_1_000_has_each_row_once() -> None:
    slices = [epoch_rows(3, 5, start, start + 1000, 100_000) for start in range(0, 100_000, 1000)]
    assert len(slices) == 100
    assert np.array_equal(np.sort(np.concatenate(slices)), np.arange(100_000))


@ORDERS
@given(seed=seeds, epoch=epochs, rows=st.integers(1, 2000))
def test_an_epoch_is_a_permutation(rows_at: RowsAt, seed: int, epoch: int, rows: int) -> None:
    found = rows_at(seed, epoch, 0, rows, rows)
    assert found.dtype == np.int64
    assert np.array_equal(np.sort(found), np.arange(rows))


@ORDERS
@given(seed=seeds, epoch=epochs, rows=st.integers(1, 2000), data=st.data())
def test_a_slice_is_the_same_slice_of_the_whole(
    rows_at: RowsAt, seed: int, epoch: int, rows: int, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, rows))
    stop = data.draw(st.integers(start, rows))
    whole = rows_at(seed, epoch, 0, rows, rows)
    assert np.array_equal(rows_at(seed, epoch, start, stop, rows), whole[start:stop])


def test_an_epoch_of_a_large_table_has_each_row_once() -> None:
    found = epoch_rows(1, 0, 0, LARGE, LARGE)
    assert np.array_equal(np.bincount(found, minlength=LARGE), np.ones(LARGE))
    middle = epoch_rows(1, 0, 500_000, 501_000, LARGE)
    assert np.array_equal(middle, found[500_000:501_000])


@pytest.mark.parametrize("rows", [10**9, 10**11 + 3, (1 << 40) + 1])
def test_slices_of_a_huge_table_are_in_range_and_distinct(rows: int) -> None:
    starts = np.linspace(0, rows - 5000, 7).astype(np.int64)
    found = np.concatenate(
        [epoch_rows(2, 3, int(start), int(start) + 5000, rows) for start in starts]
    )
    assert found.min() >= 0
    assert found.max() < rows
    assert len(np.unique(found)) == len(found)
    # Spread over the whole table: a tenth of it holds about a tenth of any slice.
    shares = np.histogram(found, bins=10, range=(0, rows))[0] / len(found)
    assert np.abs(shares - 0.1).max() < 0.01


@pytest.mark.parametrize("rows", [10_000, LARGE])
def test_another_epoch_or_seed_is_another_order(rows: int) -> None:
    first = epoch_rows(0, 0, 0, 10_000, rows)
    for seed, epoch in [(0, 1), (1, 0), (0, 2), (2**32 - 1, 0)]:
        other = epoch_rows(seed, epoch, 0, 10_000, rows)
        assert np.count_nonzero(first == other) < 10
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.05
    again = epoch_rows(0, 0, 0, 10_000, rows)
    assert np.array_equal(first, again)


def chi_square(counts: np.ndarray, cells: int) -> float:
    """How many deviations the statistic stands above its mean, for `cells` degrees of freedom."""
    expected = counts.mean()
    statistic = float(np.sum((counts - expected) ** 2) / expected)
    return (statistic - cells) / np.sqrt(2 * cells)


def test_all_permutations_of_four_rows_are_equally_frequent() -> None:
    draws = 4800
    keys = [epoch_rows(11, epoch, 0, 4, 4) @ [64, 16, 4, 1] for epoch in range(draws)]
    counts = np.unique(np.asarray(keys), return_counts=True)[1]
    assert len(counts) == 24
    assert abs(chi_square(counts, 23)) < 4


@ORDERS
def test_each_row_stands_equally_often_at_each_place(rows_at: RowsAt) -> None:
    rows, draws = 30, 3000
    counts = np.zeros((rows, rows))
    for epoch in range(draws):
        counts[np.arange(rows), rows_at(5, epoch, 0, rows, rows)] += 1
    assert abs(chi_square(counts, (rows - 1) ** 2)) < 4


@ORDERS
def test_each_pair_of_rows_is_equally_often_together(rows_at: RowsAt) -> None:
    rows, draws = 24, 3000
    counts = np.zeros((rows, rows))
    for epoch in range(draws):
        found = rows_at(6, epoch, 0, rows, rows)
        np.add.at(counts, (found[:-1], found[1:]), 1)
    apart = counts[~np.eye(rows, dtype=bool)]
    assert abs(chi_square(apart, len(apart) - 2 * rows + 1)) < 4


def test_a_large_order_mixes_near_and_far() -> None:
    found = epoch_rows(9, 4, 0, LARGE, LARGE)
    places = np.arange(LARGE) * 16 // LARGE
    counts = np.zeros((16, 16))
    np.add.at(counts, (places, found * 16 // LARGE), 1)
    assert abs(chi_square(counts, 15 * 15)) < 4
    steps = np.abs(np.diff(found)) / LARGE
    assert steps.mean() == pytest.approx(1 / 3, abs=2e-3)
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 5e-3


@settings(max_examples=30)
@given(seed=seeds, rows=st.integers(MOST_DRAWN[DRAWN] + 1, 1 << 34))
def test_the_tables_of_a_large_order_stay_small(seed: int, rows: int) -> None:
    order._rounds.cache_clear()
    grid = order._rounds(seed, 0, rows)
    order._rounds.cache_clear()
    assert rows <= grid.height * grid.width < rows + grid.height
    assert sum(table.nbytes for table in grid.tables) < 64 * (grid.height + grid.width)


def test_both_orders_are_one_for_small_tables() -> None:
    rows = MOST_DRAWN[HASHED]
    one, other = (epoch_rows(5, 2, 0, rows, rows, order) for order in (DRAWN, HASHED))
    assert np.array_equal(one, other)
    one, other = (epoch_rows(5, 2, 0, 99, rows + 1, order) for order in (DRAWN, HASHED))
    assert not np.array_equal(one, other)


def test_a_hashed_order_ends_where_32_bits_do() -> None:
    for rows in (MOST_HASHED, MOST_HASHED + 1):
        found = epoch_rows(1, 0, rows - 50_000, rows, rows, HASHED)
        assert found.min() >= 0
        assert found.max() < rows
        assert len(np.unique(found)) == len(found)


HASHED_ROWS = 20_011


def hashed_epoch(seed: int, epoch: int) -> np.ndarray:
    return hashed_rows(seed, epoch, 0, HASHED_ROWS, HASHED_ROWS)


def chi_squared(observed: np.ndarray, expected: float) -> float:
    """By its degrees of freedom, about 1 for what is uniform."""
    return float(np.sum((observed - expected) ** 2 / expected)) / (observed.size - 1)


def test_a_row_stands_anywhere_with_equal_chance() -> None:
    """Over many epochs, where one row comes and which row comes first are uniform."""
    epochs = [hashed_epoch(3, epoch) for epoch in range(400)]
    first = np.array([epoch[0] for epoch in epochs])
    places = np.array([np.flatnonzero(epoch == 12_345)[0] for epoch in epochs])
    for found in (first, places):
        counts = np.histogram(found, bins=20, range=(0, HASHED_ROWS))[0]
        assert chi_squared(counts, 20.0) < 2.2


def test_neighbours_come_in_independent_places() -> None:
    """Pairs of consecutive places hold pairs of rows that are spread over the square."""
    found = hashed_epoch(4, 0)
    cells = (found[:-1] * 20 // HASHED_ROWS) * 20 + found[1:] * 20 // HASHED_ROWS
    counts = np.bincount(cells, minlength=400)
    assert 0.7 < chi_squared(counts, (HASHED_ROWS - 1) / 400) < 1.35
    # Distances between the rows of two neighbours are triangular, as for two random rows.
    distances = np.abs(np.diff(found)) / HASHED_ROWS
    assert abs(distances.mean() - 1 / 3) < 0.01


def test_runs_up_and_down_are_as_long_as_chance_makes_them() -> None:
    """A random order changes direction at two thirds of its places (variance 16n/90)."""
    found = hashed_epoch(6, 1)
    turns = np.count_nonzero(np.diff(np.sign(np.diff(found))))
    expected, deviation = 2 * (HASHED_ROWS - 2) / 3, np.sqrt(16 * HASHED_ROWS / 90)
    assert abs(turns - expected) < 4 * deviation


def test_two_epochs_and_two_seeds_have_nothing_in_common() -> None:
    first = hashed_epoch(7, 0)
    for other in (hashed_epoch(7, 1), hashed_epoch(8, 0)):
        assert np.count_nonzero(first == other) < 10
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.03
        cells = (first * 20 // HASHED_ROWS) * 20 + other * 20 // HASHED_ROWS
        assert 0.7 < chi_squared(np.bincount(cells, minlength=400), HASHED_ROWS / 400) < 1.35


def test_a_batch_is_a_sample_without_favourites() -> None:
    """Mean and variance of batch means are those of draws without replacement."""
    values = np.arange(HASHED_ROWS) / HASHED_ROWS
    means = np.array([values[hashed_epoch(9, epoch)[:1000]].mean() for epoch in range(300)])
    deviation = np.sqrt(values.var() / 1000 * (1 - 1000 / HASHED_ROWS))
    assert abs(means.mean() - 0.5) < 4 * deviation / np.sqrt(300)
    assert means.std() == pytest.approx(deviation, rel=0.15)
