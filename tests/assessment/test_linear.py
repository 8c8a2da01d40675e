"""The linear model that a network is compared with."""

import sys

import numpy as np

from descend.assessment import linear
from descend.data.encoding.places import Places
from descend.data.schema.columns import CategoryColumn, NumberColumn


def test_the_minimum_of_a_badly_scaled_quadratic_is_found() -> None:
    curves, middle = np.logspace(-1, 2, 12), np.linspace(-3.0, 5.0, 12)

    def loss(point: linear.Numbers) -> tuple[float, linear.Numbers]:
        return float(curves @ (point - middle) ** 2) + 1.0, 2.0 * curves * (point - middle)

    found = linear.minimum(loss, np.zeros(12), iterations=200)
    assert loss(found)[0] < 1.0 + 1e-6


def test_the_fit_of_classes_is_where_the_gradient_vanishes_and_needs_no_scipy() -> None:
    random = np.random.default_rng(0)
    matrix, weight = random.normal(size=(400, 3)), random.uniform(0.5, 2.0, 400)
    codes = (matrix @ [2.0, -1.0, 0.0] + random.logistic(size=400) > 0).astype(np.int64)
    before = set(sys.modules)
    chance = linear.fit_classes(matrix, codes, weight, 2)(matrix)
    assert not any(name.startswith("scipy.optimize") for name in set(sys.modules) - before)
    # Of the intercept, which has no penalty: the weighted mean chance is the weighted share.
    np.testing.assert_allclose(weight @ chance[:, 1], weight @ codes, rtol=1e-3)
    # Of a slope, the penalty apart: the residuals are uncorrelated with the column.
    left = (weight / weight.sum() * (chance[:, 1] - codes)) @ matrix
    assert np.abs(left).max() < 5e-3


def _place(name: str, values: int, numeric: tuple[int, ...], category: int | None) -> Places:
    if category is None:
        return Places(NumberColumn(name, "number", 0, None, 0.0, 1.0, 0.0, 1.0), numeric, None)
    texts = tuple(f"v{n}" for n in range(values))
    column = CategoryColumn(name, "text", 0, values, texts, (1,) * values)
    return Places(column, (), category)


def test_of_a_column_with_many_values_the_commonest_are_seen() -> None:
    places = [_place("code", 5_000, (), 0), _place("size", 0, (0,), None)]
    found = linear.features_of(places, most=20)
    assert found is not None
    assert (found.most_values, found.columns) == (18, ["code"] * 19 + ["size"])
    x = {"category": np.asarray([[3], [4_000]]), "numeric": np.asarray([[0.5], [2.0]])}
    matrix = found.matrix(x)
    assert matrix[0, 3] == 1.0
    assert matrix[:, :-1].sum(axis=1).tolist() == [1.0, 0.0]
    assert matrix[:, -1].tolist() == [0.5, 2.0]


def test_short_columns_keep_all_their_values() -> None:
    places = [_place("code", 5_000, (), 0), _place("day", 7, (), 1), _place("size", 0, (0,), None)]
    found = linear.features_of(places, most=30)
    assert found is not None
    assert (found.columns.count("code"), found.columns.count("day")) == (21, 8)
    assert linear.features_of(places[1:], most=30).most_values is None  # type: ignore[union-attr]


def test_numbers_that_are_too_many_leave_no_linear_model() -> None:
    assert linear.features_of([_place("n", 0, tuple(range(30)), None)], most=20) is None
    assert linear.features_of([]) is None


def test_a_fit_of_classes_sees_several_rows_for_each_feature() -> None:
    for classes in (2, 7, 100, 3_000):
        features = linear.most_features(classes)
        assert linear.most_rows(features, classes) >= linear.ROWS_EACH * features
