"""The linear model that a network is compared with."""

import sys

import numpy as np

from descend.assessment import linear


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
