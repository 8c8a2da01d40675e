from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import descend
from descend.training.network.bins import BEYOND, MOST_BINNED, MOST_CODED, find_bins
from descend.training.network.value_groups import SHRINKING, GroupsOf, _Sums

ROWS = 6_000
SHOPS = 400


def shops(rows: int = ROWS, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of shops that stand in no order, a smooth number, and what shop and number make."""
    random = np.random.default_rng(7)
    names = np.sort(random.choice(np.arange(1_000, 9_999), SHOPS, replace=False))
    effects = random.normal(size=SHOPS)
    random = np.random.default_rng(seed)
    shop = random.integers(0, SHOPS, rows)
    smooth = random.integers(0, 5_000, rows)
    y = effects[shop] + np.sin(smooth / 800) + 0.5 * random.normal(size=rows)
    return names[shop], smooth, y


def table(*columns: np.ndarray) -> np.ndarray:
    found = np.stack(columns, axis=1).astype(np.float64)
    return ((found - found.mean(axis=0)) / found.std(axis=0)).astype(np.float32)


def coded(*columns: np.ndarray, y: np.ndarray, **options: object) -> list[int]:
    target = y if y.ndim == 1 and y.dtype.kind == "i" else y.reshape(len(y), -1)
    found = find_bins(table(*columns), target=target, **options)  # type: ignore[arg-type]
    return [int(place) for place in found.coded]


def test_numbers_whose_values_matter_one_by_one_are_categories_and_ordered_ones_are_not() -> None:
    shop, smooth, y = shops()
    noise = np.random.default_rng(1).integers(0, 3_000, ROWS)
    assert coded(shop, smooth, noise, y=y) == [0]
    assert coded(shop, smooth, noise, y=np.random.default_rng(2).permutation(y)) == []
    assert find_bins(table(shop, smooth, noise)).coded.size == 0


def test_each_frequent_value_is_a_group() -> None:
    shop, smooth, y = shops()
    found = find_bins(table(shop, smooth), target=y[:, None])
    middles = found.middles[found.middles < BEYOND]
    assert len(middles) == SHOPS - 1
    groups = np.searchsorted(middles, table(shop, smooth)[:, 0])
    np.testing.assert_array_equal(groups, np.unique(shop, return_inverse=True)[1])


def test_neighbouring_values_are_grouped_where_each_has_too_few_rows() -> None:
    random = np.random.default_rng(3)
    code = random.integers(10_000, 99_999, 20_000)  # The first two digits matter.
    y = random.normal(size=100)[code // 1_000] + 0.5 * random.normal(size=20_000)
    found = find_bins(table(code), target=y[:, None])
    middles = found.middles[found.middles < BEYOND]
    assert 100 < len(middles) < 1_024
    groups = np.searchsorted(middles, table(code)[:, 0])
    sizes = np.bincount(groups)
    means = np.bincount(groups, y)[groups] / sizes[groups]
    assert np.var(y - means) < 1.3 * 0.25


@pytest.mark.parametrize("classes", [2, 5])
def test_classes_show_it_too(classes: int) -> None:
    shop, smooth, y = shops()
    labels = np.digitize(y, np.quantile(y, np.arange(1, classes) / classes))
    assert coded(shop, smooth, y=labels) == [0]


def test_any_of_several_targets_shows_it() -> None:
    shop, smooth, y = shops()
    assert coded(shop, smooth, y=np.stack([smooth / 1e3, y], axis=1)) == [0]


def test_rows_of_weight_0_do_not_count_and_a_row_of_weight_2_counts_as_two() -> None:
    shop, smooth, y = shops(2 * ROWS)
    noise = np.random.default_rng(4).permutation(y)
    known = np.arange(2 * ROWS) < ROWS
    weight = known.astype(np.float32)
    assert coded(shop, smooth, y=np.where(known, y, noise), weight=weight) == [0]
    assert coded(shop, smooth, y=np.where(known, noise, y), weight=weight) == []


def test_the_error_of_others_is_that_of_a_naive_loop() -> None:
    random = np.random.default_rng(5)
    values = np.sort(random.integers(0, 40, 300)).astype(np.float32)
    left = random.normal(size=(300, 2))
    ones = np.ones((300, 1))
    borders = np.searchsorted(values, [9.5, 20.5, 31.5])
    found = _Sums(ones, left, left**2, ones).error_of_others(borders)
    groups = np.searchsorted([9.5, 20.5, 31.5], values)
    expected = 0.0
    for row in range(300):
        others = (groups == groups[row]) & (np.arange(300) != row)
        mean = left[others].sum(axis=0) / (others.sum() + SHRINKING)
        expected += float(np.sum((left[row] - mean) ** 2))
    assert found == pytest.approx(expected, rel=1e-12)


def test_validation_rows_beyond_the_training_rows_leave_the_column_a_number() -> None:
    shop, smooth, y = shops()
    inside, beyond = table(shop, smooth)[:500], table(shop, smooth)[:500] + 10.0
    assert coded(shop, smooth, y=y, held_out=inside) == [0]
    assert coded(shop, smooth, y=y, held_out=beyond) == []


@pytest.mark.parametrize("classes", [False, True])
def test_repeated_rows_do_not_make_their_columns_categories(classes: bool) -> None:
    random = np.random.default_rng(9)
    x = random.normal(size=(ROWS // 2, 3))
    y = np.sin(2 * x[:, 0]) + x[:, 1] + 0.5 * random.normal(size=len(x))
    twice = np.repeat(np.arange(len(x)), 2)
    target = (y > 0).astype(int) if classes else y
    assert coded(*x[twice].T, y=target[twice]) == []


def test_shops_alone_are_compared_by_all_their_rows() -> None:
    shop, _, y = shops()
    assert coded(shop, y=(y > 0).astype(int)) == [0]


def test_columns_of_few_values_keep_their_codes_where_others_would_be_too_many() -> None:
    shop, _, y = shops(2_000)
    months = np.random.default_rng(6).integers(0, 12, (2_000, MOST_CODED))
    assert coded(*months.T, shop, y=y) == list(range(MOST_CODED))


def test_wide_tables_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GroupsOf, "find", lambda *_: pytest.fail("looked at"))
    values = np.random.default_rng(8).normal(size=(300, MOST_BINNED + 1))
    assert coded(*values.T, y=values[:, 0]) == []


def test_the_default_model_learns_what_each_value_has_of_its_own() -> None:
    def frame(rows: int, seed: int) -> pd.DataFrame:
        shop, smooth, y = shops(rows, seed)
        return pd.DataFrame({"shop": shop, "meters": smooth, "sold": y})

    run = descend.train(frame(ROWS, 0), target="sold", effort="quick")
    rows = frame(1_000, 1)
    left = np.var(rows["sold"] - np.ravel(run.model.predict(rows))) / np.var(rows["sold"])
    assert left < 0.3  # Noise alone is 0.14, what the shops have of their own 0.58.
